"""A stand-in for the program `vllm`: it knows some flags, becomes healthy, and answers like the scripted server.

The environment says what else it does: `STAND_IN_STARTS` is a file that gets a line for each start, `STAND_IN_SLOW_S`
the seconds until it is healthy, `STAND_IN_DIES` an error that ends it before that, `STAND_IN_DIES_AFTER` the number of
replies after which it ends, `STAND_IN_HANGS_AFTER` that after which it answers nothing any more.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.chat_server import Action, ChatServer, Received, chat, error
from tests.imports import ROOT


def write_program(folder: Path) -> Path:
    """An executable `vllm` that runs this module."""
    program = folder / "vllm"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.rollout.stand_in_vllm "$@"\n')
    program.chmod(0o755)
    return program


def arguments() -> argparse.Namespace:
    """What vllm takes, as far as the tests go; another flag ends the program, as it ends vllm."""
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--hf-token")
    parser.add_argument("--enable-prefix-caching", action="store_true")
    parser.add_argument("--speculative-config.method", dest="method")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    replies = int(os.environ.get("STAND_IN_DIES_AFTER", "1000000"))
    healthy_replies = int(os.environ.get("STAND_IN_HANGS_AFTER", "1000000"))
    key = f"Bearer {os.environ['VLLM_API_KEY']}"

    def script(received: Received) -> Action:
        if received.number >= replies:
            print("engine core died", flush=True)
            os._exit(7)
        if received.number >= healthy_replies:
            time.sleep(600)
        if received.headers["Authorization"] != key:
            return error(401)
        if received.body["model"] != given.served_model_name:
            return error(404)
        return chat(f"<answer>\n{received.number}\n</answer>", reasoning="thought")

    # As vllm starts its engine: what is left of it keeps the GPU.
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with Path(os.environ["STAND_IN_STARTS"]).open("a") as starts:
        starts.write(json.dumps({**vars(given), "pids": [os.getpid(), worker.pid]}) + "\n")
    print(f"loading {given.model}", flush=True)
    time.sleep(float(os.environ.get("STAND_IN_SLOW_S", "0")))
    if "STAND_IN_DIES" in os.environ:
        print(f"engine core starts\n{os.environ['STAND_IN_DIES']}", flush=True)
        os._exit(3)
    server = ChatServer(script)
    server.port = given.port
    with server:
        time.sleep(600)


if __name__ == "__main__":
    main()
