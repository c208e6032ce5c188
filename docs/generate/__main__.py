"""Write all that is generated in docs/: `make docs`."""

from . import api, architecture

for page in (architecture, api):
    page.PATH.write_text(page.render(), encoding='utf-8')
