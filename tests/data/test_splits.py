from nerf.data.splits import hold_out, thin_out


def test_every_eighth_from_the_first_is_held_out_unless_set():
    assert [i for i, split in enumerate(hold_out(20, None)) if split == 'test'] == [0, 8, 16]
    assert [i for i, split in enumerate(hold_out(7, 3)) if split == 'test'] == [0, 3, 6]
    assert set(hold_out(9, 2)) == {'train', 'test'}


def test_only_test_entries_are_thinned_out():
    splits = ['train', 'test', 'test', 'val', 'test', 'test']
    assert thin_out(range(6), splits, None) == [0, 1, 2, 3, 4, 5]
    assert thin_out(range(6), splits, 2) == [0, 1, 3, 4]
    assert thin_out('abcdef', splits, 3) == ['a', 'b', 'd', 'f']
