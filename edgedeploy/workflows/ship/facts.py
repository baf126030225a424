"""Takes out of contract, bundle and push what a shipment's report says of them."""

from __future__ import annotations

from edgedeploy.deploy.push import PushResult
from edgedeploy.values.bundle import Bundle
from edgedeploy.values.contract import Contract
from edgedeploy.values.data import dataset_name
from edgedeploy.values.shipment import ShippedBundle, ShippedContract, ShippedRelease


def contract_facts(contract: Contract) -> ShippedContract:
    """Which contract it was."""
    return ShippedContract(
        name=contract.model.name,
        version=contract.model.version,
        framework=contract.model.framework,
        recipe=contract.optimization.recipe,
        metric=contract.data.metric,
        evaluation=dataset_name(contract.data.evaluation),
    )


def bundle_facts(bundle: Bundle) -> ShippedBundle:
    """What was built."""
    return ShippedBundle(
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
        files=len(bundle.manifest.files) + 1,
        target=bundle.manifest.target,
        packages=bundle.manifest.runtime.packages,
        backend=bundle.manifest.runtime.backend,
        chosen=bundle.manifest.runtime.chosen,
        preprocessing=bundle.manifest.preprocessing,
        embedded=next((each.preprocessing for each in bundle.manifest.model.inputs if each.preprocessing), None),
    )


def release_facts(pushed: PushResult, current: bool) -> ShippedRelease:
    """What the push did, and whether its release is current now."""
    return ShippedRelease(
        id=pushed.release.id,
        parent=pushed.release.parent,
        sent_files=pushed.sent_files,
        sent_bytes=pushed.sent_bytes,
        kept_files=pushed.kept_files,
        current=current,
    )
