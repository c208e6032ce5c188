"""Write all that is generated in docs/: `make docs`."""

from . import api, architecture

architecture.PATH.write_text(architecture.draw_architecture(), encoding='utf-8')
api.PATH.write_text(api.write_api(), encoding='utf-8')
