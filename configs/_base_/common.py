# What the three tasks share: the import that registers this package's types with OpenMMLab,
# random numbers that a resumed run continues (engine/seeding.py), and validation of what is saved
# where several processes train (engine/distributed.py).
custom_imports = dict(imports=['fastvit_dense'], allow_failed_imports=False)
custom_hooks = [dict(type='SeedHook'), dict(type='SameBuffersHook')]
randomness = dict(seed=0)
