"""Runs all scenarios against a live server, with every client and error mode."""

from __future__ import annotations

import asyncio
import json
import unittest
import uuid
from typing import Any, Literal

from gyre_api import ApiClient, AsyncApiClient

from .scenario import Caller, run, sync_caller
from .server import FOLDER, Server, is_named, running


@unittest.skipUnless(is_named(), "neither GYRE_BIN nor GYRE_API_URL is set")
class Conformance(unittest.TestCase):
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        context = running()
        cls.server = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)

    def test_blocking_client(self) -> None:
        for mode in ("response", "transport"):
            with ApiClient(self.server.url, api_key=self.server.api_key, error_mode=_mode(mode)) as api:
                self._run_all(sync_caller(api), mode)

    def test_asyncio_client(self) -> None:
        for mode in ("response", "transport"):
            api = AsyncApiClient(self.server.url, api_key=self.server.api_key, error_mode=_mode(mode))

            def call(name: str, *args: Any, api: AsyncApiClient = api, **kwargs: Any) -> Any:
                return asyncio.run(getattr(api, name)(*args, **kwargs))

            self._run_all(call, mode)
            asyncio.run(api.close())

    def _run_all(self, call: Caller, mode: str) -> None:
        files = sorted((FOLDER / "scenarios").glob("*.json"))
        self.assertTrue(files)
        for file in files:
            with self.subTest(scenario=file.stem, errors=mode):
                run(json.loads(file.read_text()), call, self.server, uuid.uuid4().hex[:8])


def _mode(mode: str) -> Literal["response", "transport"]:
    return "transport" if mode == "transport" else "response"
