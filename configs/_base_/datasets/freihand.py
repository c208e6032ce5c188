# FreiHAND, 224 x 224: 32,560 annotations with four versions of each image for training, of which
# every 20th block of neighbours is kept for validation; the 3,960 evaluation images for the test.
data_root = 'data/freihand'
# Whose mean pose FreiHAND's pose numbers refer to: the file from https://mano.is.tue.mpg.de.
mano = 'data/mano/MANO_RIGHT.pkl'
image_size = 224

train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    # METRO's and MobRecon's zoom of about a quarter either way, about the whole image that the
    # test sees; simpleHand's rotation and shift.
    dict(type='RandomHandCrop', size=image_size, rotation=90.0, zoom=(0.8, 1.25), shift=0.1),
    dict(type='RandomHandColor', channel=0.4, contrast=0.2, noise=6.0),
    dict(type='RandomHandOcclusion', prob=0.4, area=(0.02, 0.12)),
    dict(type='PackHandInputs'),
]
# The whole image: no box of the true hand helps.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='HandCrop', size=image_size),
    dict(type='PackHandInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    dataset=dict(
        type='FreiHAND',
        data_root=data_root,
        split='training',
        portion='train',
        mano=mano,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False),
    dataset=dict(
        type='FreiHAND',
        data_root=data_root,
        split='training',
        portion='val',
        versions=('auto',),
        mano=mano,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False),
    dataset=dict(
        type='FreiHAND',
        data_root=data_root,
        split='evaluation',
        mano=mano,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type='HandMetric')
test_evaluator = val_evaluator
