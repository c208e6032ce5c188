"""Sizes of the backbones, as data: what lists them need not build them. The tests count anew."""

# (backbone, arch): parameters of all stages with output norms, as trained, without classifier;
# multiply-accumulates of the folded form on one 512x512 picture
SIZES = {
    ('FastViT', 't8'): (3_173_376, 2_735_505_408),
    ('FastViT', 't12'): (6_384_128, 5_556_797_440),
    ('FastViT', 's12'): (8_304_000, 7_167_410_176),
    ('FastViT', 'sa12'): (10_411_392, 7_842_562_048),
    ('FastViT', 'sa24'): (20_384_640, 15_242_625_024),
    ('FastViT', 'sa36'): (30_357_888, 22_642_688_000),
    ('FastViT', 'ma36'): (42_650_136, 31_609_929_728),
    ('FastViT', 'mci0'): (10_737_600, 9_635_790_848),
    ('FastViT', 'mci1'): (20_872_256, 18_828_918_784),
    ('FastViT', 'mci2'): (34_937_680, 31_581_399_040),
    ('FastViT', 'mci3'): (121_655_616, 59_552_956_416),
    ('FastViT', 'mci4'): (316_487_424, 111_461_269_504),
    ('MobileViT', 'xxs'): (924_784, 2_559_836_160),
    ('MobileViT', 'xs'): (1_895_216, 5_499_994_112),
    ('MobileViT', 's'): (4_833_952, 10_106_175_488),
    ('MobileViT', '0.5'): (1_113_593, 1_857_355_776),
    ('MobileViT', '0.75'): (2_481_009, 4_110_385_152),
    ('MobileViT', '1.0'): (4_388_841, 7_246_315_520),
    ('MobileViT', '1.25'): (6_837_089, 11_265_146_880),
    ('MobileViT', '1.5'): (9_825_753, 16_166_879_232),
    ('MobileViT', '1.75'): (13_354_833, 21_951_512_576),
    ('MobileViT', '2.0'): (17_424_329, 28_619_046_912),
}
