"""Fetches the samples whose answers got worse, for the report."""

from __future__ import annotations

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.report.content.regressions import breakages
from edgedeploy.report.content.sample_preview import previews
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.sample_preview import SamplePreview
from edgedeploy.values.shipment import Shipment


def worst_samples(evaluation: DatasetSpec, shipment: Shipment) -> tuple[SamplePreview, ...]:
    """Return previews of the first samples that got worse; none without labels, or where the data cannot be read again.

    Args:
        evaluation: the dataset that was run, as `open_dataset` takes it.
    """
    places = {place for breakage in breakages(shipment) for place in breakage.broken.first}
    if not places:
        return ()
    try:
        return previews(open_dataset(evaluation, shipment.evidence.source.inputs).samples(), places)
    except EdgedeployError:
        # All figures are there: what only illustrates them is no reason to fail.
        return ()
