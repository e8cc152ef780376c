from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader, IterableDataset

from runtimeinfo_adapters._train_loader import length_of, with_dataset


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Refusing:
    def __len__(self):
        raise NotImplementedError


def test_a_loader_with_a_dataset_stays_itself():
    loader = DataLoader([1, 2, 3])
    assert with_dataset(loader) is loader


@pytest.mark.parametrize("loader", [[1, 2], None, SimpleNamespace(name="no dataset")])
def test_what_has_no_dataset_is_its_own(loader):
    assert with_dataset(loader).dataset is loader


@pytest.mark.parametrize(
    ("loader", "length"),
    [(DataLoader([1, 2, 3], batch_size=2), 2), (DataLoader(Stream()), None), (Refusing(), None), (None, None)],
)
def test_the_length_is_none_where_there_is_none(loader, length):
    assert length_of(loader) == length
