"""The photographs that the sample scenes are made of, and what is cut out of them.

All are in the public domain, CC0 or free of known copyright restrictions, and come inside the
wheels of scikit-image and matplotlib: none is downloaded, none is kept in this repository. The
outlines were drawn on exactly these files, so a file that differs is refused.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ...errors import DataError


@dataclass(frozen=True)
class Photo:
    """One photograph inside an installed package."""

    name: str
    package: str
    folder: str
    sha256: str
    shows: str
    licence: str
    origin: str


@dataclass(frozen=True)
class Outline:
    """A closed outline 'x,y x,y ...' in pixels of its photograph, around one object."""

    category: str
    photo: str
    points: str


@dataclass(frozen=True)
class Cutout:
    """An object cut out of a photograph.

    Attributes:
        category: Name of the class.
        pixels: (H, W, 4) float32: RGB in 0-255 times alpha, and alpha in 0-1.
    """

    category: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Texture:
    """A background: a region (x0, y0, x1, y1) of a photograph, and gains for R, G, B.

    The gains give back a colour to the textures that are stored in grey.
    """

    category: str
    photo: str
    region: tuple[int, int, int, int]
    gains: tuple[float, float, float]


def _skimage(name: str, sha256: str, shows: str, licence: str, origin: str) -> Photo:
    return Photo(name, 'scikit-image', 'skimage/data', sha256, shows, licence, origin)


PHOTOS = (
    _skimage(
        'astronaut.png',
        '88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5',
        'Eileen Collins, her helmet and a model of the Space Shuttle',
        'public domain',
        'NASA Great Images database, https://flic.kr/p/r9qvLn',
    ),
    _skimage(
        'camera.png',
        'b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a',
        'a man behind a camera',
        'CC0',
        'Lav Varshney, https://github.com/scikit-image/scikit-image/issues/3927',
    ),
    _skimage(
        'chelsea.png',
        '596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb',
        'Chelsea the cat',
        'CC0',
        'Stefan van der Walt',
    ),
    _skimage(
        'coffee.png',
        'cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7',
        'a cup of coffee on a wooden table',
        'CC0',
        'Rachel Michetti, courtesy of Pikolo Espresso Bar',
    ),
    _skimage(
        'coins.png',
        'f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba',
        'Greek coins from Pompeii',
        'no known copyright restrictions',
        'https://www.brooklynmuseum.org/opencollection/archives/image/51611',
    ),
    _skimage(
        'rocket.jpg',
        'c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c',
        'Falcon 9 before the launch of DSCOVR, and the sky behind it',
        'public domain',
        'SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820',
    ),
    _skimage(
        'grass.png',
        'b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89',
        'grass',
        'CC0',
        'https://www.deviantart.com/linolafett/art/Grass-01-434853879',
    ),
    _skimage(
        'brick.png',
        '7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf',
        'a brick wall',
        'CC0',
        'https://cc0textures.com/view.php?tex=Bricks25',
    ),
    _skimage(
        'gravel.png',
        'c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12',
        'gravel',
        'CC0',
        'https://cc0textures.com/view.php?tex=Gravel04',
    ),
    Photo(
        'grace_hopper.jpg',
        'matplotlib',
        'matplotlib/mpl-data/sample_data',
        'a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130',
        'Grace Hopper',
        'public domain (work of the US Navy)',
        'https://commons.wikimedia.org/wiki/File:Commodore_Grace_M._Hopper,_USN_(covered).jpg',
    ),
)

TEXTURES = (
    Texture('grass', 'grass.png', (0, 0, 512, 512), (0.80, 1.05, 0.45)),
    Texture('brick', 'brick.png', (0, 0, 512, 512), (1.20, 0.72, 0.60)),
    Texture('gravel', 'gravel.png', (0, 0, 512, 512), (1.0, 0.97, 0.93)),
    Texture('sky', 'rocket.jpg', (110, 0, 510, 120), (1.25, 1.25, 1.25)),
    Texture('wood', 'coffee.png', (485, 60, 600, 390), (1.0, 1.0, 1.0)),
)

OUTLINES = (
    Outline(
        'person',
        'astronaut.png',
        '248,18 241,19 236,16 227,16 212,22 205,21 193,29 187,37 174,43 157,57 153,68 155,98 '
        '158,105 169,116 174,128 182,134 183,146 181,148 157,150 140,158 124,177 120,189 '
        '117,192 114,192 115,198 112,205 91,226 78,234 65,246 45,280 40,293 39,306 34,315 '
        '26,342 25,374 19,390 19,417 24,432 24,471 26,484 31,496 32,511 280,511 276,495 '
        '276,460 282,433 294,406 309,388 309,381 329,362 347,354 364,349 359,339 361,330 '
        '357,324 357,310 341,264 331,253 303,232 299,219 289,203 276,189 255,172 256,163 '
        '264,149 266,139 275,134 290,117 296,107 300,92 299,72 296,66 296,58 288,43 276,31',
    ),
    Outline(
        'person',
        'camera.png',
        '234,75 226,73 220,69 193,69 186,73 172,87 160,106 150,107 129,125 116,125 96,132 '
        '77,142 61,161 51,182 34,205 30,216 19,226 16,236 0,259 0,511 89,511 93,493 97,453 '
        '100,448 117,466 130,486 140,496 148,497 150,495 148,423 140,385 141,380 173,342 '
        '206,294 209,294 233,308 247,312 267,302 286,288 287,269 289,265 289,246 287,243 '
        '287,217 283,210 279,206 270,207 261,215 260,220 262,230 250,244 246,242 241,222 '
        '242,207 238,202 241,191 241,181 245,177 245,173 254,167 249,148 256,138 257,133 '
        '261,129 267,130 269,128 269,113 255,92 241,79',
    ),
    Outline(
        'person',
        'grace_hopper.jpg',
        '223,31 221,33 221,38 217,42 213,42 199,48 181,64 176,73 175,84 160,97 154,109 '
        '147,118 146,126 147,167 155,190 153,197 153,211 155,219 161,228 168,253 162,264 '
        '163,273 174,288 199,298 203,304 203,311 183,333 165,344 146,349 121,359 96,363 '
        '85,368 81,368 70,373 61,380 53,381 47,387 40,402 36,416 26,427 27,459 22,501 17,526 '
        '15,568 11,599 511,599 511,445 492,393 466,378 449,372 422,366 376,345 365,342 '
        '353,334 343,324 338,322 331,314 332,311 350,295 358,284 361,270 361,258 364,251 '
        '367,228 370,223 369,210 375,196 374,187 367,180 369,174 371,134 369,129 368,96 '
        '364,88 355,87 353,85 348,71 335,56 313,44 300,41 290,32 281,27 270,24 249,23 238,25 '
        '227,31',
    ),
    Outline(
        'cat',
        'chelsea.png',
        '38,0 33,36 33,78 38,108 34,112 18,119 6,127 0,134 0,299 285,299 285,281 299,267 '
        '304,258 315,229 334,191 348,169 360,141 365,115 355,100 352,76 363,64 374,47 385,19 '
        '395,0',
    ),
    Outline(
        'cup',
        'coffee.png',
        '262,19 239,25 218,35 205,44 183,67 172,72 166,77 155,81 136,95 131,96 120,108 '
        '109,116 102,131 89,151 82,170 77,193 77,235 83,260 91,282 111,313 143,345 175,365 '
        '213,379 254,388 297,390 332,386 369,375 399,360 406,352 429,335 446,317 460,295 '
        '475,258 476,246 479,237 479,218 475,190 461,153 446,134 417,105 417,99 423,82 423,75 '
        '419,70 413,67 406,67 398,71 394,71 365,41 341,28 321,22 299,18',
    ),
    Outline(
        'rocket',
        'astronaut.png',
        '423,0 406,0 402,12 400,15 400,18 397,27 396,42 393,45 388,45 385,48 380,63 380,79 '
        '381,80 382,103 381,104 381,109 378,115 378,152 377,153 377,158 378,159 378,183 '
        '372,191 364,199 363,202 359,206 356,213 356,223 358,225 363,225 369,227 377,234 '
        '377,238 373,245 373,247 367,260 367,269 368,270 370,270 373,267 374,264 381,257 '
        '385,248 385,245 388,241 390,241 392,243 391,245 391,250 393,252 397,252 403,249 '
        '408,248 411,241 415,237 418,236 423,237 427,240 433,240 437,245 437,252 434,257 '
        '434,259 438,263 440,264 445,264 446,265 454,265 458,261 458,257 455,252 455,236 '
        '457,232 457,227 455,222 454,191 453,190 453,160 454,159 453,117 454,116 454,94 '
        '455,93 455,64 451,50 446,44 443,43 441,44 439,50 436,49 436,33 435,32 434,23 430,12',
    ),
    Outline(
        'rocket',
        'rocket.jpg',
        '321,127 317,130 315,134 311,148 311,177 313,180 313,225 330,225 330,180 333,177 '
        '333,149 331,145 331,142 325,130',
    ),
    Outline(
        'helmet',
        'astronaut.png',
        '286,427 280,449 277,475 280,511 511,511 511,473 506,462 497,456 488,414 480,394 '
        '458,366 445,355 430,348 415,344 391,344 340,357 317,376 299,401',
    ),
    Outline(
        'coin',
        'coins.png',
        '339,16 351,20 360,29 363,36 364,45 359,60 353,66 343,70 331,71 320,68 311,60 306,50 '
        '305,40 308,31 311,27 321,19 330,16',
    ),
    Outline(
        'coin',
        'coins.png',
        '157,28 165,30 173,37 177,45 178,56 176,62 171,68 163,72 153,73 146,71 135,62 132,52 '
        '132,46 134,41 143,32 150,29',
    ),
    Outline(
        'coin',
        'coins.png',
        '227,32 234,39 238,47 239,53 235,64 229,69 220,72 205,71 194,61 192,56 192,50 194,42 '
        '203,32 209,30 222,30',
    ),
    Outline(
        'coin',
        'coins.png',
        '266,95 283,97 294,109 295,123 293,130 282,141 274,143 263,141 258,139 247,129 '
        '245,121 248,107 254,101',
    ),
    Outline(
        'coin',
        'coins.png',
        '358,157 365,161 375,172 378,180 379,189 378,196 374,204 367,211 362,214 353,217 '
        '336,216 327,211 319,202 316,195 315,186 317,175 320,170 328,162 336,158 344,156',
    ),
    Outline(
        'coin',
        'coins.png',
        '226,174 232,180 234,184 236,195 234,204 228,211 214,216 204,215 199,212 193,206 '
        '189,197 190,184 197,176 206,171 215,170',
    ),
    Outline(
        'coin',
        'coins.png',
        '110,176 114,178 121,185 123,190 123,199 120,207 113,214 108,216 97,216 89,213 83,207 '
        '80,198 81,189 84,183 91,177 96,175',
    ),
    Outline(
        'coin',
        'coins.png',
        '57,234 64,238 70,244 72,248 74,260 72,269 69,275 59,284 50,287 39,287 29,283 25,279 '
        '19,268 18,258 19,250 23,244 29,238 34,235 41,233',
    ),
    Outline(
        'coin',
        'coins.png',
        '156,239 168,236 180,237 191,241 196,246 200,254 200,268 196,277 187,284 173,287 '
        '160,284 153,280 148,275 144,267 144,257 149,245',
    ),
    Outline(
        'coin',
        'coins.png',
        '317,242 323,248 325,254 325,265 323,272 319,279 315,283 306,287 298,288 291,287 '
        '285,284 278,277 276,271 276,257 279,251 288,243 296,240 308,239',
    ),
)


def photo_sources() -> str:
    """Markdown table: every photograph, what it shows, its licence and its origin."""
    rows = [f'| `{p.name}` | {p.package} | {p.shows} | {p.licence} | {p.origin} |' for p in PHOTOS]
    head = ['| file | in the wheel of | shows | licence | origin |', '|---|---|---|---|---|']
    return '\n'.join(head + rows) + '\n'


@cache
def read_photo(name: str) -> np.ndarray:
    """Read one of `PHOTOS` as (H, W, 3) uint8 RGB.

    Raises:
        DataError: The package is not installed, or its file is another one.
    """
    photo = next(photo for photo in PHOTOS if photo.name == name)
    module, _, folder = photo.folder.partition('/')
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f'sample data needs the photograph {name} of {photo.package}, which is not '
            f'installed: pip install {photo.package}'
        )
    path = Path(spec.submodule_search_locations[0]) / folder / name
    data = path.read_bytes() if path.is_file() else b''
    found = hashlib.sha256(data).hexdigest() if data else 'no such file'
    if found != photo.sha256:
        raise DataError(
            f'{path}: expected the photograph with SHA-256 {photo.sha256}, found {found}; '
            f'another release of {photo.package} has it: pip install -U {photo.package}'
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, path  # its hash is right
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@cache
def read_cutouts() -> tuple[Cutout, ...]:
    """Cut every outline of `OUTLINES` out of its photograph."""
    cutouts = []
    for outline in OUTLINES:
        photo = read_photo(outline.photo)
        points = np.array([pair.split(',') for pair in outline.points.split()], np.int32)
        alpha = np.zeros(photo.shape[:2], np.uint8)
        cv2.fillPoly(alpha, [points], 1)
        x, y, width, height = cv2.boundingRect(points)
        window = np.s_[y : y + height, x : x + width]
        alpha = alpha[window][..., None].astype(np.float32)
        pixels = np.concatenate([photo[window] * alpha, alpha], axis=2)
        cutouts.append(Cutout(outline.category, pixels))
    return tuple(cutouts)
