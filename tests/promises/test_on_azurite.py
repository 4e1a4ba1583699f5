"""The promises hold, whatever happens: the same machine on the real adapters, each example on an account of its own."""

from __future__ import annotations

from typing import ClassVar

import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from tests.promises.calls import Trouble
from tests.promises.ledgers import Ledger, azurite_ledger
from tests.promises.machine import Promises
from tests.promises.running import EXAMPLES, run, told

pytestmark = pytest.mark.cloud


@pytest.mark.timeout(180 + 20 * EXAMPLES)
def test_the_promises_hold_on_azurite(
    cloud: LocalCloud, credential: TokenCredential, capsys: pytest.CaptureFixture[str]
) -> None:
    class OnAzurite(Promises):
        check_every: ClassVar[int] = 10  # to ask what holds takes many calls here

        def new_ledger(self) -> Ledger:
            return azurite_ledger(cloud, credential)

    totals = run(OnAzurite, examples=16, steps=25, shrink=False)
    with capsys.disabled():
        print(f"\npromises on Azurite: {told(totals)}")
    assert totals["calls"] > 500
    assert totals["starts"] > 0
    assert totals["duplicates"] > 0
    assert totals[Trouble.DEATH_BEFORE] + totals[Trouble.DEATH_AFTER] > 0
    assert totals[Trouble.LOST] > 0
    assert totals[Trouble.THROTTLED] > 0
