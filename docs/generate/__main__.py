"""Write all that is generated in docs/: `make docs`."""

from . import api, architecture, checks, model_zoo

for page in (architecture, api, checks, model_zoo):
    page.PATH.write_text(page.render(), encoding='utf-8')
