"""Whether a result's outputs are as good as its source's: against labels, or without them by agreement."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.metrics.answers_kept import LEAST_KEPT_SHARE
from edgedeploy.metrics.group_agreement import LEAST_GROUP_SQNR_DB
from edgedeploy.metrics.heads.registry import head_task
from edgedeploy.metrics.model_comparison import ModelComparison, SessionFigures
from edgedeploy.metrics.rank_agreement import LEAST_RANK_CORRELATION
from edgedeploy.optimize.guard.evaluation import Data, Evaluation, within
from edgedeploy.optimize.guard.result import Findings, Violation, ViolationKind
from edgedeploy.stats.rounding import at_most, beside_limit
from edgedeploy.values.quality import Agreement, MetricTrust

LEAST_SQNR_DB = 10.0
"""Where there are no labels, a result whose error has more than a tenth of the power of the signal is refused.
8-bit networks that kept their accuracy were measured at 15 dB and more, one that had lost 19 % of its answers at 5."""
LEAST_DEVIATION_SQNR_DB = 3.0
"""Of a group of channels, held against what of it depends on the input: a constant has 0. Most of a detector's boxes is
where anchors lie: with the same boxes for every picture a YOLOv8n has 19 dB. An INT8 YOLOX that kept all of 152
detections had 5 dB, as boxes of anchors that see nothing are arbitrary."""
MOST_DRIFT_SHARE = 0.5
LEAST_DRIFTING_SQNR_DB = 15.0
"""Of the error of a group, quantizers were measured to make at most 0.27 one shift of a channel; where more is,
something moved as a whole, as boxes do when a stride is wrong. That is an objection while it is visible: moved by 8 of
320 pixels, boxes of a YOLOv8n have 9 dB against what depends on the input, by 4 pixels 15 dB."""
LEAST_KEPT = 0.5
"""Of the detections, pixels or characters that the float model answers, under every metric: with half of them gone or
others in their place, it is another model."""
LEAST_TEXT_MATCH = 0.9
"""The same for text, which has no SQNR: a tenth of it may be another."""
LEAST_TEXT_MATCH_GENERATED = 0.5
"""Of inputs that were made up, where answers are close to arbitrary."""


def judge_accuracy(compared: ModelComparison, evaluation: Evaluation, findings: Findings) -> None:
    """Judge the outputs of a result that ran twice on this machine.

    Args:
        compared: the source with the result in exact arithmetic, which is judged, and then with the result on the
            host's kernels, which is noted where it differs.
    """
    for violation in accuracy_violations(compared, evaluation):
        findings.add(violation)
    _judge_reference(compared, evaluation.data, findings)
    judged, tolerance = compared.sessions[0], evaluation.tolerance
    if tolerance is not None and 0 < judged.largest_difference <= tolerance:
        findings.note(f"results stayed: at most {_moved(judged, tolerance)}")
    for note in (*_trust_notes(compared.trust), *_metric_notes(compared, evaluation)):
        findings.note(note)
    if evaluation.metric is None:
        judged_by = f"only {_judged_by(judged)} on {evaluation.data.name}"
        findings.note(f"accuracy was not judged, because there are no labels: {judged_by}")


def accuracy_violations(
    compared: ModelComparison, evaluation: Evaluation, where: str = "in exact arithmetic"
) -> list[Violation]:
    """Return what speaks against the first result that was compared, as far as its outputs go.

    Args:
        where: it ran, for reasons.
    """
    judged, tolerance = compared.sessions[0], evaluation.tolerance
    found: list[Violation] = []
    if judged.non_finite:
        reason = f"{judged.non_finite:,} elements are NaN or infinite where the float model gives numbers"
        found.append(Violation(ViolationKind.NON_FINITE, reason))
    if tolerance is not None and not judged.largest_difference <= tolerance:
        reason = f"the recipe promises to keep results, and {_moved(judged, tolerance)}"
        found.append(Violation(ViolationKind.OUTPUTS_MOVED, reason))
    in_groups = list(_group_violations(judged, evaluation))
    found += in_groups or _drift_violations(judged, evaluation)
    found += _kept_violations(judged, evaluation)
    before, after = compared.reference_metric, judged.metric
    if evaluation.metric is not None and before is not None and after is not None:
        if not evaluation.is_kept(before, after):
            fall, allowed = beside_limit(after.worsening(before), evaluation.allowed(before), decimals=4)
            moved = "fell" if after.larger_is_better else "rose"
            fell = f"{after.name} {moved} from {before.value:.4f} to {after.value:.4f} {where}"
            reason = f"{fell}, by {fall}; allowed is {allowed}"
            found.append(Violation(ViolationKind.METRIC_FELL, reason))
        if tolerance is None:
            untrusted = () if _is_ranked(judged, evaluation) else _untrusted(compared)
            found += _noise_violations(judged, evaluation.data, (*judged.unread, *untrusted))
    elif tolerance is None and not _is_ranked(judged, evaluation):
        found += _agreement_violations(judged, evaluation.data, evaluation.max_drop)
    return found


def _judge_reference(compared: ModelComparison, data: Data, findings: Findings) -> None:
    """Judge the source itself: what gives no numbers cannot be compared with."""
    if compared.reference_non_finite and not compared.reference_finite:
        findings.violate(
            ViolationKind.UNJUDGED,
            f"the float model gives nothing but NaN or infinity on {data.name}, so nothing can be judged: "
            "check how the data was prepared",
        )
    elif compared.reference_non_finite:
        findings.note(f"the float model itself gives NaN or infinity on {data.name}")


def _agreement_violations(judged: SessionFigures, data: Data, max_drop: float) -> Iterator[Violation]:
    """Yield what speaks against outputs without labels: each is judged by itself, then all together."""
    noisy = list(_noise_violations(judged, data, judged.by_output))
    yield from noisy
    if not noisy and (ranks := judged.rank_correlation) is not None and ranks < LEAST_RANK_CORRELATION:
        found, least = beside_limit(ranks, LEAST_RANK_CORRELATION, decimals=3)
        yield Violation(
            ViolationKind.DISAGREES,
            f"the samples of {data.name} lie in another order than the float model's: the rank correlation is {found}, "
            f"and {least} is the least without labels",
        )
    if noisy:
        return
    for name, agreement in judged.by_output.items():
        match = agreement.answers_match
        if data.dataset is not None and match is not None and not within(1.0, match, max_drop):
            yield Violation(ViolationKind.DISAGREES, _changed(match, data, max_drop, f" of output {name!r}"))
            return
    yield from _violations_over_all(judged, data, max_drop)


def _noise_violations(judged: SessionFigures, data: Data, names: Collection[str]) -> Iterator[Violation]:
    """Yield a violation for each of the named outputs that is mostly noise.

    One sum over all outputs hides it where others are larger; and so does a metric that does not look at it.
    """
    # Of a model with one output, that is the agreement over all.
    agreements = judged.by_output or dict.fromkeys(names, judged.agreement)
    for name in dict.fromkeys(names):
        agreement = agreements.get(name)
        if agreement is None or agreement.other_shapes:
            continue
        yield from _text_violations(agreement, data, f"output {name!r}")
        if noise := _noise(agreement, LEAST_SQNR_DB):
            sqnr, least = noise
            reason = (
                f"output {name!r} differs too much from the float model's to be let through: SQNR {sqnr} on "
                f"{data.name}, and {least} is the least for each output"
            )
            yield Violation(ViolationKind.DISAGREES, reason)
        elif constant := _constant(agreement, data, f"output {name!r}"):
            yield Violation(ViolationKind.DISAGREES, constant)


def _untrusted(compared: ModelComparison) -> tuple[str, ...]:
    """Return the outputs that the metric says nothing of: those that it is blind to; all where it is in doubt."""
    trust = compared.trust
    if trust is None:
        return ()
    if trust.doubts:
        return compared.output_names
    return tuple(name for name in trust.blind_to if name not in compared.sessions[0].by_group)


def _trust_notes(trust: MetricTrust | None) -> Iterator[str]:
    """Yield what the metric does not see, and why it or the labels are in doubt."""
    if trust is None:
        return
    if trust.blind_to:
        parts = ", ".join(trust.blind_to)
        yield (
            f"{trust.name} is blind to {parts}: exchanged between samples, replaced by the mean and drowned in noise, "
            f"on {trust.samples:,} samples of the float model, it stays within its budget; the noise of that part "
            "alone judges it"
        )
    yield from (f"check metric and labels: {doubt}" for doubt in trust.doubts)


def _group_violations(judged: SessionFigures, evaluation: Evaluation) -> Iterator[Violation]:
    """Yield a violation for each group of channels that is mostly noise, under every metric and without labels."""
    decoder = evaluation.decoder
    finds_nothing = judged.kept is None and decoder is not None and head_task(decoder.head) == "detection"
    for name, agreement in _comparable_groups(judged, evaluation).items():
        if noise := _noise(agreement, LEAST_GROUP_SQNR_DB):
            sqnr, least = noise
            reason = (
                f"the channels {name} mean something else than the others of that output and are mostly noise: SQNR "
                f"{sqnr} on {evaluation.data.name}, and {least} is the least for each group, whatever the metric says"
            )
            if finds_nothing:
                reason += "; the float model detects nothing on this data: give pictures that show what it detects"
            yield Violation(ViolationKind.GROUP_DISAGREES, reason)
        elif constant := _constant(agreement, evaluation.data, f"the channels {name}"):
            yield Violation(ViolationKind.GROUP_DISAGREES, constant)


def _comparable_groups(judged: SessionFigures, evaluation: Evaluation) -> dict[str, Agreement]:
    """Return the groups of channels that can be held against the float model's number by number."""
    return {} if _is_ranked(judged, evaluation) else judged.by_group


def _is_ranked(judged: SessionFigures, evaluation: Evaluation) -> bool:
    """Return whether the model itself ranks its answers, and what is kept of them tells: its rows do not."""
    return evaluation.decoder is not None and evaluation.decoder.ranked and judged.kept is not None


def _drift_violations(judged: SessionFigures, evaluation: Evaluation) -> Iterator[Violation]:
    """Yield a violation for each group of channels that moved as a whole."""
    data = evaluation.data
    if data.dataset is None:
        return
    for name, agreement in _comparable_groups(judged, evaluation).items():
        below = _below(agreement.deviation_sqnr_db, LEAST_DRIFTING_SQNR_DB)
        if below and (agreement.drift_share or 0.0) > MOST_DRIFT_SHARE:
            sqnr, least = below
            yield Violation(
                ViolationKind.GROUP_DISAGREES,
                f"the channels {name} moved as a whole: {agreement.drift_share:.0%} of their error is the same for all "
                f"samples of {data.name}; held against what depends on the input, SQNR is {sqnr}, and {least} is the "
                "least for a shift",
            )


def _kept_violations(judged: SessionFigures, evaluation: Evaluation) -> Iterator[Violation]:
    """Yield a violation where too little is left of what the float model answers; one that is lost is no share.

    Of inputs that were made up, answers are close to arbitrary in the float model too.
    """
    kept = judged.kept
    if kept is None or evaluation.data.dataset is None:
        return
    least = LEAST_KEPT if evaluation.metric is not None else LEAST_KEPT_SHARE
    if kept.share < least and kept.count + kept.added - kept.kept > 1:
        share, limit = beside_limit(kept.share, least, decimals=1, unit="%")
        yield Violation(
            ViolationKind.DISAGREES,
            f"{share} of the float model's {kept.what} are left on {evaluation.data.name}, and {limit} is the least: "
            f"of {kept.count:,} it keeps {kept.kept:,}, and adds {kept.added:,}",
        )


def _constant(agreement: Agreement, data: Data, what: str) -> str:
    """Return that hardly anything is left of what depends on the input; empty where enough is.

    Of inputs that were made up nothing is said, as they are alike; and nothing of answers, which say more themselves.
    """
    below = _below(agreement.deviation_sqnr_db, LEAST_DEVIATION_SQNR_DB)
    if below is None or data.dataset is None or agreement.answers_match is not None:
        return ""
    sqnr, least = below
    return (
        f"of {what} hardly anything is left that depends on the input: held against that, SQNR is {sqnr} on "
        f"{data.name}, and {least} is the least"
    )


def _noise(agreement: Agreement, least_db: float) -> tuple[str, str] | None:
    """Return the SQNR and the least in words, where it is under that; else None."""
    return _below(agreement.sqnr_db, least_db)


def _below(sqnr_db: float | None, least_db: float) -> tuple[str, str] | None:
    if sqnr_db is None or not sqnr_db < least_db:
        return None
    return beside_limit(sqnr_db, least_db, decimals=1, unit=" dB")


def _text_violations(agreement: Agreement, data: Data, what: str) -> Iterator[Violation]:
    """Yield a violation where most texts are others than the float model's, as noise above a tenth is for numbers."""
    least = LEAST_TEXT_MATCH if data.dataset is not None else LEAST_TEXT_MATCH_GENERATED
    if agreement.text_match is not None and agreement.text_match < least:
        match, limit = beside_limit(agreement.text_match, least, decimals=1, unit="%")
        reason = (
            f"{what} differs too much from the float model's to be let through: {match} of the "
            f"texts are the same on {data.name}, and {limit} is the least"
        )
        yield Violation(ViolationKind.DISAGREES, reason)


def _judged_by(judged: SessionFigures) -> str:
    """Return what is judged without labels. What is no output of class scores has no answers that could change."""
    if judged.agreement.answers_match is not None:
        return "agreement with the float model"
    return (
        "the noise of each output (no output is known to hold class scores; for a classifier add labels to the "
        "--evaluation data, or --metric top1)"
    )


def _changed(match: float, data: Data, max_drop: float, where: str = "") -> str:
    changed, budget = beside_limit(1 - match, max_drop, decimals=1, unit="%")
    return (
        f"{changed} of the answers{where} changed on {data.name}, and {budget} is the budget: without "
        "labels the accuracy may have fallen by as much (add labels to the --evaluation data to measure it)"
    )


def _violations_over_all(judged: SessionFigures, data: Data, max_drop: float) -> Iterator[Violation]:
    agreement = judged.agreement
    match = agreement.answers_match
    if match is None and agreement.other_shapes:
        match = 1.0 - agreement.other_shapes / agreement.samples
    texts = list(_text_violations(agreement, data, "the text of the outputs"))
    if texts and not agreement.other_shapes:
        yield from texts
    elif agreement.other_shapes < agreement.samples and (noise := _noise(agreement, LEAST_SQNR_DB)):
        sqnr, least = noise
        yield Violation(
            ViolationKind.DISAGREES,
            f"outputs differ too much from the float model's to be let through without labels: SQNR {sqnr} on "
            f"{data.name}, and {least} is the least",
        )
    elif constant := _constant(agreement, data, "the outputs"):
        yield Violation(ViolationKind.DISAGREES, constant)
    # Of inputs that were made up, answers are close to arbitrary in the float model too.
    elif data.dataset is not None and match is not None and not within(1.0, match, max_drop):
        yield Violation(ViolationKind.DISAGREES, _changed(match, data, max_drop))


def _moved(judged: SessionFigures, tolerance: float) -> str:
    moved = f"{judged.largest_difference:.2g}"
    if float(moved) <= tolerance < judged.largest_difference:
        moved = f"{judged.largest_difference:.6g}"
    return f"an output moved by {moved} of the largest (allowed: {tolerance:g})"


def _metric_notes(compared: ModelComparison, evaluation: Evaluation) -> Iterator[str]:
    """Yield what to know of a metric that is within its budget: whether luck may explain it, whether kernels agree."""
    before, (judged, on_host) = compared.reference_metric, compared.sessions
    after, host = judged.metric, on_host.metric
    if before is None or after is None or host is None or judged.change is None:
        return
    if not evaluation.is_kept(before, after):
        return
    allowed = evaluation.allowed(before)
    # Where every output is the same, bit for bit, no number of samples would show a loss.
    agreement = judged.agreement
    fell = "fell" if after.larger_is_better else "rose"
    moved = agreement.sqnr_db is not None or agreement.other_shapes or agreement.text_match not in (None, 1.0)
    if moved and not at_most(judged.change.most_loss, allowed):
        yield (
            f"{after.samples:,} samples are too few to be sure that {after.name} {fell} by no more than {allowed:g}: "
            f"with {judged.change.confidence:.0%} confidence it changed by {judged.change.low:+.4f} to "
            f"{judged.change.high:+.4f}"
        )
    if not evaluation.is_kept(before, host):
        yield (
            f"this machine's own integer kernels ({host_isa()}) give {host.name} {host.value:.4f} where exact "
            f"arithmetic gives {after.value:.4f}; measure on the board"
        )
