"""Publishes the environments, components, pipelines, deployments, data and monitors to a workspace, once.

`python -m ml.publish --subscription S --resource-group G --workspace W` may be run as often as you like: what is
published already is left alone, and what differs under the same version is refused with the file and what to write
there. Nothing is written where anything is refused. An online endpoint is never touched.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.assets import Asset, read
from ml.publishing.contents import Item, Unreadable, contents
from ml.publishing.steps import Plan, Refused, State, Step, plan

ROOT = Path(__file__).parent
_MONITORED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ABOUT_MONITORS = (
    "no monitor was asked for. A monitor watches one batch's folder, 0-raw/diabetes/BATCH: once there are files in its "
    "baseline/ and target/, publish again with --monitor BATCH"
)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ml.publish", description=__doc__.split("\n")[0])
    parser.add_argument("--subscription", required=True, help="the workspace's subscription")
    parser.add_argument("--resource-group", required=True, help="its resource group")
    parser.add_argument("--workspace", required=True, help="its name")
    parser.add_argument("--arm-endpoint", metavar="URL", help="Resource Manager, where it is not the public cloud's")
    parser.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="STEP=NAME",
        type=_endpoint,
        help="name of the batch endpoint of a step in this workspace: prep=diabetes-prep-1a2b",
    )
    parser.add_argument("--batch-suffix", default="", help="what every batch endpoint's name ends with here: -1a2b")
    parser.add_argument(
        "--monitor", action="append", default=[], metavar="BATCH", type=_batch, help="make this batch's drift monitor"
    )
    parser.add_argument(
        "--lake",
        metavar="URL",
        type=_address,
        help="the lake's container, to which monitors write their newest reports: https://ACCOUNT.blob.core.windows.net/lake",
    )
    args = parser.parse_args(argv)
    if args.monitor and not args.lake:
        parser.error("--monitor needs --lake: the address of the container to which its newest report is written")
    return args


def _address(text: str) -> str:
    if not re.fullmatch(r"https://[^/?#]+/[^?#]+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a container: https://ACCOUNT.blob.core.windows.net/lake"
        )
    return text


def _endpoint(text: str) -> tuple[str, str]:
    step, _, name = text.partition("=")
    if not step or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not STEP=NAME")
    return step, name


def _batch(text: str) -> str:
    if _MONITORED.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no batch: letters, digits, - and _, as the monitor's name is")
    return text


def endpoint_names(root: Path, chosen: Sequence[tuple[str, str]], suffix: str) -> dict[str, str]:
    """The names in this workspace, by those in the files; a step is what a file's name begins with.

    Raises:
        Unreadable: there is no such step.
    """
    known = {}
    for file in sorted(root.glob("batch/*-endpoint.yml")):
        asset = read(file)
        if isinstance(asset, Asset):
            known[file.name.removesuffix("-endpoint.yml")] = str(asset.body.get("name"))
    for step, _ in chosen:
        if step not in known:
            raise Unreadable(f"--endpoint {step}: there is no {step}, only {', '.join(known)}")
    given = dict(chosen)
    return {name: given.get(step, name + suffix) for step, name in known.items()}


def publish(made: Plan) -> None:
    for step in made.steps:
        if step.do is not None:
            print(f"  {step.kind} {step.name} {step.version}".rstrip(), flush=True)
            step.do()


def table(steps: Sequence[Step]) -> str:
    rows = [("what", "name", "version", "")] + [(s.kind, s.name, s.version or "-", str(s.state)) for s in steps]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def run(args: argparse.Namespace, items: list[Item]) -> int:
    # The client takes a second to import: not before what can be said without it has been said.
    from azure.core.exceptions import AzureError  # noqa: PLC0415
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    from ml.publishing import sdk  # noqa: PLC0415
    from ml.publishing.workspace import Workspace  # noqa: PLC0415

    where = {"subscription": args.subscription, "group": args.resource_group, "workspace": args.workspace}
    try:
        with DefaultAzureCredential() as credential:
            client = sdk.connect(credential, **where, arm_endpoint=args.arm_endpoint)
            print(f"comparing with the workspace {args.workspace}", flush=True)
            made = plan(items, Workspace(client))
            for problem in made.problems:
                print(problem, file=sys.stderr)
            if made.problems:
                print(f"publish: {len(made.problems)} problems, nothing was published", file=sys.stderr)
                return 1
            if not args.plan:
                publish(made)
    except (AzureError, Refused) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    report(args, made)
    return 0


def report(args: argparse.Namespace, made: Plan) -> None:
    print(table(made.steps))
    for note in made.notes:
        print(f"note: {note}")
    if not args.monitor:
        print(f"note: {_ABOUT_MONITORS}")
    changed = sum(step.state is not State.UNCHANGED for step in made.steps)
    said = "nothing to do" if not changed else f"{changed} to publish" if args.plan else f"{changed} published"
    print(f"publish: {said}")


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    args = arguments(argv)
    try:
        items = contents(root, endpoint_names(root, args.endpoint, args.batch_suffix), args.monitor, args.lake or "")
    except Unreadable as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return run(args, items)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
