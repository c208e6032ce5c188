"""Sizes drawn in two processes of gloo: in step, though they say nothing to each other."""

import json
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

COUNT, EPOCHS = 37, 3


def read_epochs(rank: int, folder: str) -> None:
    """Write what one process reads in three epochs, with seed 5 or one that is agreed on."""
    from mmengine.runner import Runner

    from fastvit_dense.engine import multi_scale  # noqa: F401  registers the sampler
    from fastvit_dense.engine.loops import rest_of

    distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2
    )
    batch_sampler = dict(
        type='MultiScaleBatchSampler', base_size=(64, 64), min_size=32, max_size=96, num_scales=3
    )
    loaders = [
        Runner.build_dataloader(
            dict(
                batch_size=3,
                num_workers=0,
                dataset=list(range(COUNT)),
                sampler=dict(type='SeededSampler', shuffle=True, seed=seed),
                batch_sampler=batch_sampler,
                collate_fn=dict(type='pseudo_collate'),
            )
        )
        for seed in (5, None)
    ]
    distributed.barrier()
    distributed.destroy_process_group()  # from here on nothing can be said
    read = []
    for loader in loaders:
        for epoch in range(EPOCHS):
            loader.batch_sampler.sampler.set_epoch(epoch)
            batches = [[(int(i), i.size) for i in batch] for batch in loader.batch_sampler]
            assert len(batches) == len(loader)
            read.append(batches)
            for done in (1, len(batches) - 1):  # what is left of an epoch that is resumed
                rest = rest_of(loader, done).batch_sampler
                assert [[(int(i), i.size) for i in batch] for batch in rest] == batches[done:]
    Path(folder, f'{rank}.json').write_text(json.dumps(read))


@pytest.mark.slow  # two processes import OpenMMLab
def test_two_processes_are_in_step(tmp_path):
    multiprocessing.start_processes(read_epochs, (str(tmp_path),), nprocs=2, start_method='spawn')
    one, other = (json.loads((tmp_path / f'{rank}.json').read_text()) for rank in (0, 1))
    assert len(one) == len(other) == 2 * EPOCHS
    for mine, theirs in zip(one, other, strict=True):
        shapes = [[(len(b), *b[0][1]) for b in batches] for batches in (mine, theirs)]
        assert shapes[0] == shapes[1]
        assert all(len({tuple(size) for _, size in batch}) == 1 for batch in mine + theirs)
        seen = [[index for batch in batches for index, _ in batch] for batches in (mine, theirs)]
        assert set(seen[0]) | set(seen[1]) == set(range(COUNT))
        assert len(set(seen[0]) & set(seen[1])) <= 1  # 37 samples over two: one comes twice
    assert one[0] != one[1]  # epochs differ, and sizes of the seeded ones are not all alike
    assert (
        len({tuple(size) for batches in one[:EPOCHS] for batch in batches for _, size in batch}) > 1
    )
    assert torch.tensor([len(batches) for batches in one]).min() > 1
