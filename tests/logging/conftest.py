from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_account_and_no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of W&B reaches the network, or the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable)))
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_MODE", "offline")
        yield
