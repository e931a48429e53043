"""`python -m stack <command>`: what `./run` hands over to. Every failure is one line and exit code 1."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stack.errors import StackError


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return _dispatch(arguments)
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # The reader, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(arguments: list[str]) -> int:
    command, *rest = arguments
    if command in ("airflow", "dataset", "ingest", "psql"):
        _become(command, rest)
    if command in ("check", "lock"):
        from stack import maintain

        return maintain.check(rest) if command == "check" else maintain.lock()
    return _run(_parser().parse_args(arguments))


def _become(command: str, rest: list[str]) -> None:
    from stack.doors import programs

    doors = {
        "airflow": programs.airflow,
        "dataset": programs.dataset,
        "ingest": programs.ingest,
        "psql": programs.psql,
    }
    doors[command](rest)


def _run(options: argparse.Namespace) -> int:
    from stack import commands

    if options.command == "demo":
        from stack.demo.run import demo

        return demo(options.mb, once=options.once)
    if options.command == "cluster":
        return _cluster(options)
    if options.command in ("image", "compose-test"):
        return _containers(options)
    if options.command == "secrets":
        return _secrets(tls=options.tls)
    if options.command == "docs":
        from stack.reference import command as reference

        return reference.run(_parser(), check=options.check)
    if options.command == "logs":
        from stack.doors.logs import show_logs

        show_logs(options.part, lines=options.lines, follow=options.follow)
        return 0
    if options.command in ("up", "restart"):
        print(commands.describe(commands.up() if options.command == "up" else commands.restart()))
    elif options.command == "down":
        commands.down(delete=options.delete)
    elif options.command == "status":
        return 0 if commands.show_status() else 1
    else:
        _supervise()
    return 0


def _cluster(options: argparse.Namespace) -> int:
    from stack.cluster import command

    if options.on:
        command.on_host(options.on[0], options.on[1:])
    if options.down:
        command.down(delete=options.delete)
        return 0
    return command.up(options.workers)


def _containers(options: argparse.Namespace) -> int:
    if options.command == "compose-test":
        from stack.trial.command import compose_test

        return compose_test(keep=options.keep, tls=options.tls)
    from stack.image import command

    return command.run(options)


def _secrets(*, tls: bool) -> int:
    from stack import secrets_file
    from stack.settings import REPOSITORY

    file = REPOSITORY / ".env"
    made = secrets_file.complete(file)
    print(f"run: .env now has {', '.join(made)}" if made else "run: .env has them all already")
    if tls:
        from stack.tls import folder

        made = folder.complete(REPOSITORY / "tls", secrets_file.read(file).get("BASE_URL", ""))
        print(f"run: tls/ now has {', '.join(made)}" if made else "run: tls/ has them all already")
    return 0


def _supervise() -> None:
    from stack.settings import Settings
    from stack.supervisor import supervise

    supervise(Settings.load())


def _megabytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a size in MB: give a number over 0")
    return size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run", description="The local stack of Millrace.")
    kinds = parser.add_subparsers(dest="command", required=True)
    demo = kinds.add_parser("demo", help="start everything, ingest an orders file and show it")
    demo.add_argument("--mb", type=_megabytes, default=200.0, help="size of the file in MB (200)")
    demo.add_argument("--once", action="store_true", help="stop at the end; the exit code is the outcome")
    kinds.add_parser("up", help="start PostgreSQL and Airflow in the background")
    kinds.add_parser("restart", help="stop everything and start it anew; the data stays")
    down = kinds.add_parser("down", help="stop everything")
    down.add_argument("--delete", action="store_true", help="remove the local state, data too")
    kinds.add_parser("status", help="what runs, where, and the login")
    logs = kinds.add_parser("logs", help="what each part, or one, has logged last")
    logs.add_argument("part", nargs="?", help="postgres, scheduler, api-server, … (default: a few lines of each)")
    logs.add_argument("--lines", type=int, metavar="N", help="how many lines (100 of one part, 3 of each)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more comes, until Ctrl-C")
    cluster = kinds.add_parser("cluster", help="the services of docker-compose.yaml as hosts of their own; needs root")
    cluster.add_argument("--workers", type=int, default=2, help="Celery workers (2)")
    cluster.add_argument("--down", action="store_true", help="end the one that runs")
    cluster.add_argument("--delete", action="store_true", help="with --down: remove its databases and files too")
    cluster.add_argument("--on", nargs=argparse.REMAINDER, metavar="HOST COMMAND", help="run a command on a host")
    image = kinds.add_parser("image", help="build the image by docker, podman or buildah")
    image.add_argument(
        "--tag", default="millrace:local", help="its name (millrace:local, which the compose file asks for)"
    )
    image.add_argument("--engine", choices=("docker", "podman", "buildah"), default="", help="not the first that works")
    image.add_argument("--ca", type=Path, metavar="FILE", help="a certificate that build and containers trust besides")
    image.add_argument("--extra", default="", metavar="REQUIREMENTS", help="further packages, separated by blanks")
    image.add_argument("--python", default="", metavar="VERSION", help="3.11, 3.12 or 3.13 (3.12)")
    image.add_argument("--sbom", type=Path, metavar="FILE", help="write a bill of materials (CycloneDX, JSON)")
    trial = kinds.add_parser("compose-test", help="docker-compose.yaml in containers, through its life")
    trial.add_argument("--keep", action="store_true", help="leave the deployment up where a step failed")
    trial.add_argument("--tls", action="store_true", help="with deploy/tls.yaml and deploy/proxy.yaml over it")
    made = kinds.add_parser("secrets", help="make .env for docker-compose.yaml")
    made.add_argument("--tls", action="store_true", help="and tls/: a CA, and a certificate for each server")
    docs = kinds.add_parser("docs", help="write docs/reference/ from the code")
    docs.add_argument("--check", action="store_true", help="only say which pages are stale; the exit code is 1 then")
    kinds.add_parser("supervise", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
