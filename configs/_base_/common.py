# What the three tasks share: the import that registers this package's types with OpenMMLab,
# and random numbers that a resumed run continues (fastvit_dense/seeding.py).
custom_imports = dict(imports=['fastvit_dense'], allow_failed_imports=False)
custom_hooks = [dict(type='SeedHook')]
randomness = dict(seed=0)
