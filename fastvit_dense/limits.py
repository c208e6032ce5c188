"""Limits on what a file may ask for, looked at before anything of it is unpacked.

Set so that files of people who mean well stay far below them; SECURITY.md lists them.
"""

# pictures: 2 * 89,478,485 is Pillow's own limit, 13,300 x 13,300; 8K video has 33 megapixels
PIXELS = 178_956_970
DOWNLOADED_BYTES = 1 << 28  # of a picture at an http(s) address
BYTES_PER_PIXEL = 4  # of a picture file, at most: no compression, four channels

# checkpoints: torch.save does not compress, floating-point weights shrink by a few percent
UNPACKED_RATIO = 4
UNPACKED_SPARE = 1 << 26
DIRECTORY_BYTES = 1 << 23  # of an archive's table of contents: about 80,000 tensors
REPEATED_BYTES = 1 << 26  # of a tensor that shows the same numbers many times (stride 0)
NESTING = 100  # containers within containers; a training checkpoint has about 10
INDEX_BYTES = 1 << 26  # of the index of a sharded checkpoint
CONFIG_TEXT_BYTES = 1 << 21  # of the config in a checkpoint; ours have about 20,000

# MANO files: MANO_RIGHT.pkl has 3.8 million bytes and needs some hundreds of opcodes
MANO_BYTES = 32_000_000

# JSON that is read at once, and takes about ten times its size in memory: annotations and results
# of COCO; 30 million boxes, as in Objects365, take some 6 billion bytes
JSON_BYTES = 1 << 33

# JSON that is read entry by entry; the largest entry of FreiHAND, a mesh, has about 50,000
JSON_ENTRY = 1 << 24
JSON_SPACE = 1 << 20  # white space in a row
REPORT_BYTES = 1 << 28  # of a report.json; one over 1,000 classes with curves has 10 million
STATISTICS_BYTES = 1 << 31  # of a per_image.npz; one over 5,000 images of COCO has 20 million
HAND_NUMBER = 1e12  # of coordinates, cameras and poses: metres, pixels, radians

# exported files: what one value inside a graph may take
TENSOR_BYTES = 1 << 30

# folders of annotated pictures
TREE_FILES = 10_000_000  # Objects365 has two million pictures
LABEL_BYTES = 1 << 26  # of annotations in text, XML or YAML; a picture's have some thousands
XML_DEPTH = 50  # elements within elements; VOC's have 5
