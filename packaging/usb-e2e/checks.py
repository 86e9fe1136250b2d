"""Counting checks, running programs, waiting with a limit."""

import contextlib
import subprocess
import time
import traceback


class Skip(Exception):
    """A check that cannot be made here, with the reason."""


class Checks:
    def __init__(self):
        self.ok = self.failed = self.skipped = 0

    @contextlib.contextmanager
    def __call__(self, name):
        """One check: an exception in its body is its failure. `note` adds what was seen to its line."""
        notes = []
        begin = time.monotonic()
        try:
            yield notes.append
        except Skip as reason:
            self.skipped += 1
            print(f"  SKIPPED {name}: {reason}", flush=True)
        except Exception as error:  # any failure is one check's failure; the others go on
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = str(error) or type(error).__name__
            print(f"  FAILED  {name}: {text} ({where.name}, line {where.lineno})", flush=True)
        else:
            self.ok += 1
            seen = f": {', '.join(notes)}" if notes else ""
            print(f"  ok      {name}{seen} [{time.monotonic() - begin:.1f} s]", flush=True)

    def report(self):
        print(f"usb-e2e: {self.ok} ok, {self.failed} failed, {self.skipped} skipped", flush=True)


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def wait(what, condition, limit=20.0):
    """The first true value of `condition`, asked ten times a second."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {limit:.0f} s")
        time.sleep(0.1)


def run(*words, limit=30.0, codes=(0,), environment=None):
    """Standard output of a program that ends with one of the codes."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=limit, text=True, env=environment)
    if codes is not None and done.returncode not in codes:
        raise AssertionError(f"{' '.join(words[:4])}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def end(process):
    """Ends a program that was started here, and waits for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args[0]} did not end when told to")
    return process.returncode
