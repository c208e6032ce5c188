"""Write all that is generated in docs/: `make docs`."""

from . import api, architecture, checks

for page in (architecture, api, checks):
    page.PATH.write_text(page.render(), encoding='utf-8')
