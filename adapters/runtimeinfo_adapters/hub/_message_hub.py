"""The reference hub: infos, scalars, state, sharing and copies."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from runtimeinfo import HubError, MissingScalarError, ScalarTypeError, StateError
from runtimeinfo.authoring import lies_on_device, scalar_value
from runtimeinfo.board import BoardReader
from runtimeinfo_adapters.hub._arguments import (
    as_dict,
    check_histories,
    check_resumed,
    check_resumed_keys,
    check_scalar,
    value_and_count,
)
from runtimeinfo_adapters.hub._data_frame import data_frame_of
from runtimeinfo_adapters.hub._device_queue import DEFAULT_MAX_ON_DEVICE, DeviceQueue
from runtimeinfo_adapters.hub._named_instances import NamedInstances
from runtimeinfo_adapters.hub._run_id import checked_run_id, given_run_id, random_run_id
from runtimeinfo_adapters.hub._scalar_history import ONE, ScalarHistory
from runtimeinfo_adapters.hub._state import (
    MISSING,
    HubState,
    UnsavedInfoWarning,
    deepcopy_infos,
    pickle_infos,
    read_hub,
    read_state,
    write_state,
)
from runtimeinfo_adapters.hub._tensor_view import TensorViews
from runtimeinfo_adapters.sharing import Sharing

if TYPE_CHECKING:
    import pandas as pd
    import torch


class MessageHub(NamedInstances):
    """The latest value of each info that a run publishes, and the history of each scalar.

    It does everything that mmengine's hub does and can replace it. Any number of threads can write and read.

    A hub can be copied, deep-copied and pickled, for example to a spawned process, at any time. The copy has the same
    infos, histories and resumed keys and is independent: it is not shared, and its name does not find it. A deep copy
    keeps an info that cannot be copied as the same object. A pickle leaves out an info that cannot be pickled, with one
    `UnsavedInfoWarning` for each key. A copy has another `run_id`; a pickle keeps it, because it can be the same run in
    another process.

    Args:
        name: The name of the hub.
        log_scalars: Its first histories.
        runtime_info: Its first infos.
        resumed_keys: Whether each of these keys goes into `state_dict`.
        max_on_device: How many scalars that are tensors on an accelerator can wait there, over all keys. They are read
            in one batch: when one of them is read, when the hub is saved, or when an update reaches that number and
            waits for the device.
        share: Whether other processes of this user can read the hub while it is entered (`use_hub`), as it is in a
            run. The environment variable ``RUNTIMEINFO_SHARE=0`` turns sharing off for all hubs.
        run_id: The `run_id`, which no checkpoint changes then.

    Raises:
        HubError: If an argument is of the wrong type, if `resumed_keys` has a key that is not published, or if `run_id`
            or ``RUNTIMEINFO_RUN_ID`` cannot be a run id.

    Example:
        >>> hub = MessageHub("doc-hub")
        >>> hub.update_info("epoch", 2)
        >>> hub.update_scalar("train/loss", 0.5)
        >>> hub.get_info("epoch"), hub.get_scalar("train/loss").current()
        (2, 0.5)

    Source: HUB-01 to HUB-27.
    """

    def __init__(
        self,
        name: str,
        log_scalars: Mapping[str, ScalarHistory] | None = None,
        runtime_info: Mapping[str, Any] | None = None,
        resumed_keys: Mapping[str, bool] | None = None,
        *,
        max_on_device: int = DEFAULT_MAX_ON_DEVICE,
        share: bool = True,
        run_id: str | None = None,
    ) -> None:
        super().__init__(name)
        given = given_run_id(run_id)
        self._run_id: str = given or random_run_id()
        self._is_run_id_given: bool = given is not None
        self._log_scalars: dict[str, ScalarHistory] = as_dict("log_scalars", {} if log_scalars is None else log_scalars)
        self._runtime_info: dict[str, Any] = as_dict("runtime_info", {} if runtime_info is None else runtime_info)
        self._resumed_keys: dict[str, bool] = as_dict("resumed_keys", {} if resumed_keys is None else resumed_keys)
        self._on_device = DeviceQueue(max_on_device)
        check_histories(self._log_scalars)
        check_resumed_keys(self._resumed_keys, self._log_scalars, self._runtime_info)
        self._set_up(share=share)

    def _set_up(self, *, share: bool) -> None:
        """Create the attributes that each hub has for itself, around its infos and histories."""
        # Guards the set of keys. Values change without it: replacing an item of a dictionary is atomic, and a
        # history guards itself.
        self._lock = threading.RLock()
        self._tensors: TensorViews | None = None  # until the first call of `tensor`
        self._sharing = Sharing(
            self._runtime_info,
            self._log_scalars,
            by_default=share,
            hub=self,
            before_close=partial(self._on_device.look, is_last=True),
        )
        self._unsaved: set[tuple[str, str]] = set()  # the warnings that were given, each by its form and key
        # The histories to which a float can be appended without a check: they are ours and resumable.
        self._ready: dict[str, ScalarHistory] = {}
        for history in self._log_scalars.values():
            history.wait_in(self._on_device)
        self._make_ready(self._log_scalars)

    # -- which run this is

    @property
    def run_id(self) -> str:
        """The text that tells this run from every other one, wherever its rows and its board are looked at.

        It is random, unless the argument `run_id` or the environment variable ``RUNTIMEINFO_RUN_ID`` gives it. A state
        holds it, so a training that resumes from a checkpoint continues under the id of the checkpoint, unless one was
        given. `renew_run_id` begins another run from a checkpoint.

        Example:
            >>> first, second = MessageHub("doc-first"), MessageHub("doc-second")
            >>> first.run_id == second.run_id
            False
            >>> second.load_state_dict(first.state_dict())
            >>> first.run_id == second.run_id
            True
        """
        return self._run_id

    def renew_run_id(self, run_id: str | None = None) -> str:
        """Begin another run in this hub, before its training: a fine-tuning from a checkpoint, for example.

        Args:
            run_id: The new `run_id`, which no checkpoint changes then. It is random by default, also where
                ``RUNTIMEINFO_RUN_ID`` is set.

        Returns:
            The new `run_id`.

        Raises:
            HubError: If it cannot be a run id.
        """
        renewed = random_run_id() if run_id is None else checked_run_id("run_id", run_id)
        self._is_run_id_given = True
        self._set_run_id(renewed)
        return renewed

    # -- infos

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        """Publish an info; the last write wins.

        Args:
            key: Its key.
            value: Any object. Only plain data can go into `state_dict`.
            resumed: Whether it goes into `state_dict`.

        Raises:
            HubError: If the key is not a string, `resumed` differs from earlier, or a `tensor` of this key cannot hold
                the value.

        Source: HUB-01, HUB-08.
        """
        if self._resumed_keys.get(key) is not resumed:
            self._set_resumed(key, resumed)
        if self._tensors is not None:
            self._tensors.check(key, value)
        self._runtime_info[key] = value
        if self._tensors is not None:  # a second check: another thread can create a tensor meanwhile
            self._tensors.refresh(key)
        board = self._sharing.board
        if board is not None:
            board.write_info(key, value)

    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        """Publish several infos. Other processes see the position of the training change as a whole.

        Raises:
            HubError: As `update_info`, or if `info_dict` is not a mapping; then none of them is published.

        Source: HUB-09, SHARE-04.
        """
        infos = as_dict("info_dict", info_dict)
        with self._lock:
            for key, value in infos.items():
                self._check_resumed(key, resumed)
                if self._tensors is not None:
                    self._tensors.check(key, value)
            for key, value in infos.items():
                if self._resumed_keys.get(key) is not resumed:
                    self._set_resumed(key, resumed)
                self._runtime_info[key] = value
                if self._tensors is not None:
                    self._tensors.refresh(key)
        board = self._sharing.board
        if board is not None:
            board.write_infos(infos)

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default.

        Source: HUB-01, HUB-02.
        """
        return self._runtime_info.get(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        """Remove an info and return it, or the default.

        Source: HUB-03.
        """
        value = self._runtime_info.pop(key, default)
        if self._tensors is not None:
            self._tensors.refresh(key)
        board = self._sharing.board
        if board is not None:
            board.refresh(key)
        return value

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        """Every info by its key: a read-only snapshot.

        Source: HUB-14.
        """
        followed = self._sharing.followed
        return MappingProxyType(self._runtime_info.copy() if followed is None else followed.infos())

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | str | int = "cpu"
    ) -> torch.Tensor:
        """Return an info as a tensor of shape ``()`` that shows each later value.

        Code that torch.compile or a CUDA graph has captured reads the tensor at each run; a number would keep the value
        of the capture, or cause a recompilation. Call `tensor` once, outside of that code, and never write to the
        result. The hub writes it in the publishing thread, on that thread's current stream, without waiting for the
        device.

        Args:
            key: The key of a number; it need not be published yet.
            dtype: A signed integer or float dtype, int64 by default.
            device: The device of the tensor.

        Returns:
            The same tensor for the same arguments. While the info is missing or None it holds -1, or NaN if the dtype
            is a float dtype. It belongs to this hub in this process: no copy, pickle or fork of the hub changes it.

        Raises:
            HubError: If the info is not a number, or the dtype cannot hold it.

        Example:
            >>> hub = MessageHub("doc-tensor")
            >>> iteration = hub.tensor("iter")
            >>> hub.update_info("iter", 7)
            >>> iteration
            tensor(7)
        """
        if self._tensors is None:
            with self._lock:
                if self._tensors is None:
                    self._tensors = TensorViews(self._runtime_info)
        return self._tensors.get(key, dtype, device)

    # -- scalars

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Append a value to the history of a scalar.

        Args:
            key: Its key.
            value: A scalar; see `runtimeinfo.authoring.is_scalar`.
            count: How many samples the value is the sum of.
            resumed: Whether the history goes into `state_dict`.

        Raises:
            ScalarTypeError: If the value is not a scalar, or the count is not an int.
            HubError: If the key is not a string, or `resumed` differs from earlier.

        Source: HUB-04, HUB-08, SCALAR-01.
        """
        # Nearly every scalar takes this path: see docs/design/what-an-iteration-costs.md.
        if type(value) is float and count is ONE and resumed is True:
            try:
                ready = self._ready[key]
            except KeyError:
                pass
            else:
                pending = ready.pending
                pending.append(value)
                if len(pending) >= ready.block:
                    ready.settle_block()
                return
        history = self._log_scalars.get(key)
        try:
            if history is None or count is not ONE or self._resumed_keys.get(key) is not resumed:
                self._update_checked(key, value, count, resumed)
            else:
                history.update(value, count)
        except ScalarTypeError as error:
            if error.key is None:
                check_scalar(key, value, count)  # raises with the key
                scalar_value(value, key=key)  # as does this where only the reading fails
            raise

    def update_scalars(self, log_dict: Mapping[str, Any], resumed: bool = True) -> None:
        """Append to several scalars.

        Args:
            log_dict: Values by key; a value can be ``dict(value=..., count=...)``.
            resumed: Whether the histories go into `state_dict`.

        Raises:
            HubError: As `update_scalar`, or if `log_dict` is not a mapping; then none of them is published.

        Source: HUB-15.
        """
        entries = {key: value_and_count(key, entry) for key, entry in as_dict("log_dict", log_dict).items()}
        with self._lock:
            for key, (value, count) in entries.items():
                self._check_resumed(key, resumed)
                check_scalar(key, value, count)
            together: dict[str, Any] = {}
            for key, (value, count) in entries.items():
                if type(value) is not float and resumed is True and count is ONE and lies_on_device(value):
                    together[key] = value
                else:
                    self.update_scalar(key, value, count, resumed)
            if together:
                self.update_device_scalars(together)

    def update_device_scalars(self, tensors: Mapping[str, Any]) -> None:
        """Append to several scalars the present values of tensors that lie on an accelerator, with one copy for all.

        A subclass that overrides `update_scalar` gets each of them there instead.

        Args:
            tensors: Scalars by key, at least one. Each of them `runtimeinfo.authoring.lies_on_device`.

        Raises:
            HubError: As `update_scalar`.

        Source: SCALAR-10.
        """
        try:
            histories = [self._ready[key] for key in tensors]
        except KeyError:  # the first values of a key, for example
            histories = []
        if not histories or getattr(self.update_scalar, "__func__", None) is not MessageHub.update_scalar:
            for key, tensor in tensors.items():
                self.update_scalar(key, tensor)
            return
        values = self._on_device.add_all(tuple(tensors.values()))
        for history, value in zip(histories, values, strict=True):
            history.append_waiting(value)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the history of a scalar: the one that later updates extend, not a copy.

        Raises:
            MissingScalarError: If the scalar is not published.

        Source: HUB-07.
        """
        try:
            return self._log_scalars[key]
        except KeyError:
            known = ", ".join(sorted(self._log_scalars)) or "none"
            raise MissingScalarError(
                f"hub {self.instance_name!r} has no scalar {key!r}; it has {known}. Ask for one of these, or "
                "publish it first, with update_scalar",
                key=key,
                requirement="HUB-07",
            ) from None

    def pop_scalar(self, key: str) -> None:
        """Remove the history of a scalar, if there is one.

        Source: HUB-26, SCALAR-08.
        """
        with self._lock:
            self._ready.pop(key, None)
            self._log_scalars.pop(key, None)

    def drop_latest(self, key: str) -> None:
        """Take back the latest value of a scalar, if there is one: of an iteration that was aborted, for example.

        Source: HUB-27, SCALAR-11.
        """
        history = self._log_scalars.get(key)
        if history is not None:
            history.drop_latest()
            board = self._sharing.board
            if board is not None:
                board.refresh(key)

    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        """The history of every scalar by its key: a read-only snapshot.

        Source: HUB-14.
        """
        return MappingProxyType(self._log_scalars.copy())

    def to_pandas(self) -> pd.DataFrame:
        """Return the histories of all scalars as one tidy table: a value in each row, in the order of the first update.

        It needs the extra ``pandas``. Values on a device are read, which waits for it.

        Returns:
            A frame that is a copy, with these columns, which an empty hub has too:

            - ``scalar``, of dtype ``string``: the key.
            - ``update``, int64: the number of the value among those that the history keeps, from 0 for the oldest.
            - ``value``, float64. An integer beyond 2**53 is rounded.
            - ``count``, float64: the number of samples that the value is the sum of.

        Raises:
            ModuleNotFoundError: If pandas is not installed; the message names the extra.

        Example:
            >>> hub = MessageHub("doc-to-pandas")
            >>> hub.update_scalar("train/loss", 0.5); hub.update_scalar("train/loss", 0.25)
            >>> hub.update_scalar("val/acc", 30, count=40)
            >>> hub.to_pandas()
                   scalar  update  value  count
            0  train/loss       0   0.50    1.0
            1  train/loss       1   0.25    1.0
            2     val/acc       0  30.00   40.0

        Source: HUB-04, HUB-14.
        """
        return data_frame_of(self.log_scalars)

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return the resumable infos and histories, as tensors and plain values.

        ``torch.load`` reads it with ``weights_only=True``. If PyTorch is not loaded, there are lists instead of
        tensors; JSON can hold it with ``json.dumps(state, default=lambda tensor: tensor.tolist())``, unless an array is
        of complex numbers. An info that is not plain data is left out, with one `UnsavedInfoWarning` for each key. The
        tensors are copies on the CPU, which later updates do not change.

        For `torch.distributed.checkpoint`, use `runtimeinfo_adapters.distributed.PackedState`.

        Source: HUB-11, HUB-12.
        """
        state, left_out = write_state(self._contents())
        for key, error in left_out.items():
            self._warn_unsaved(
                "state",
                key,
                f"info {key!r} is not saved: {error}, and only plain data is. "
                "Publish it with resumed=False, or as numbers, strings, lists, dicts or arrays",
            )
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Restore a saved state with its `run_id`; a key that the state does not have stays as it is.

        The tensors of the state can be on any device. An info that is a tensor comes back on the CPU, as it was saved.

        Args:
            state_dict: A state that this class or mmengine's hub returned, before or after JSON; or a whole hub, as in
                early checkpoints of mmengine. A hub replaces everything.

        Raises:
            StateError: Naming the field that is missing or wrong; the hub is unchanged.

        Source: HUB-11, HUB-13.
        """
        if hasattr(state_dict, "_log_scalars"):
            self._replace_by(state_dict)
            return
        state = read_state(state_dict)
        with self._lock:
            self._check_tensors(state)
            self._take(state)

    # -- sharing

    def share(self) -> BoardReader:
        """Share the hub with the other processes of this user, and return a reader for them.

        The reader is small: send it to a worker by pickle or fork, or pass its ``path`` to any other process. A run
        does not need this call, because a hub is shared while it is entered (`use_hub`): `current_hub` finds it in the
        workers of the run, and `runtimeinfo.board.find_board` finds it elsewhere.

        Readers see an info at once. They see scalars with the next info: at most every 10 ms with ``iter``, and at once
        with epoch, loop_stage and the totals. A value on a device comes over meanwhile, without waiting: they see it
        within 100 ms, or two iterations where these take longer.

        Raises:
            BoardError: If there is no place for a board.

        Example:
            >>> hub = MessageHub("doc-share")
            >>> reader = hub.share()
            >>> hub.update_info("epoch", 3)
            >>> reader.get_info("epoch")
            3
            >>> hub.unshare()

        Source: SHARE-01 to SHARE-06.
        """
        return BoardReader(self._sharing.start())

    def unshare(self) -> None:
        """Undo `share`; a hub that is entered (`use_hub`) stays shared until it is left."""
        self._sharing.stop()

    def sharing(self) -> AbstractContextManager[None]:
        """Return a context in which the hub is shared; `use_hub` enters it.

        If a board cannot be created, it warns with `UnsharedWarning` and raises nothing.

        Source: SHARE-01.
        """
        return self._sharing.while_current()

    @property
    def board_path(self) -> Path | None:
        """The board that the hub is shared on, or None while it is not shared."""
        board = self._sharing.board
        return None if board is None else board.path

    # -- copies

    def __getstate__(self) -> dict[str, Any]:
        state = self._state_of_copy()
        state["_followed"] = self._sharing.origin_for_spawned()
        state["_runtime_info"], left_out = pickle_infos(state["_runtime_info"], self)
        for key, error in left_out.items():
            self._warn_unsaved(
                "pickle",
                key,
                f"info {key!r} is left out of the pickled hub: {type(error).__name__}: {error}. "
                "Publish it as numbers, strings, lists, dicts or arrays, or remove it first, with pop_info",
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        infos = {key: value for key, value in state["_runtime_info"].items() if value is not MISSING}
        self._become_copy({**state, "_runtime_info": infos})

    def __copy__(self) -> Self:
        state = self._state_of_copy()
        # Two hubs cannot share a history: its values on a device wait in the queue of one hub.
        state["_log_scalars"] = {key: copy(history) for key, history in state["_log_scalars"].items()}
        del state["_run_id"]
        twin = type(self).__new__(type(self))
        twin._become_copy(state)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        state = self._state_of_copy()
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin  # an info can hold the hub
        infos = deepcopy_infos(state.pop("_runtime_info"), memo)
        del state["_run_id"]
        twin._become_copy({**deepcopy(state, memo), "_runtime_info": infos})
        return twin

    def _contents(self) -> HubState:
        with self._lock:
            return HubState(
                self._log_scalars.copy(), self._runtime_info.copy(), self._resumed_keys.copy(), self._run_id
            )

    def _state_of_copy(self) -> dict[str, Any]:
        """Return the attributes that a copy takes over, among them those of a subclass; other threads can write on."""
        contents = self._contents()
        state = self.__dict__.copy()
        for own in ("_lock", "_tensors", "_sharing", "_ready", "_unsaved", "get_info", "get_scalar"):
            state.pop(own, None)
        state["_share"] = self._sharing.by_default
        state["_log_scalars"] = contents.log_scalars
        state["_runtime_info"] = contents.runtime_info
        state["_resumed_keys"] = contents.resumed_keys
        return state

    def _become_copy(self, state: dict[str, Any]) -> None:
        share, followed = state.pop("_share"), state.pop("_followed", None)
        if "_run_id" not in state:  # a copy, or a pickle of an earlier release
            given = given_run_id(None)
            state["_run_id"], state["_is_run_id_given"] = given or random_run_id(), given is not None
        self.__dict__.update(state)
        self._on_device = DeviceQueue(self._on_device.max_on_device)
        self._set_up(share=share)
        if followed is not None:
            self._sharing.follow_as_spawned(followed)

    def __repr__(self) -> str:
        published = f"{len(self._runtime_info)} infos, {len(self._log_scalars)} scalars"
        return f"<{type(self).__name__} {self.instance_name!r}: {published}>"

    # -- helpers

    def _check_resumed(self, key: str, resumed: bool) -> None:
        check_resumed(key, resumed, self._resumed_keys.get(key))

    def _set_resumed(self, key: str, resumed: bool) -> None:
        with self._lock:
            self._check_resumed(key, resumed)
            self._resumed_keys[key] = bool(resumed)

    def _update_checked(self, key: str, value: Any, count: Any, resumed: bool) -> None:
        """Append to a history, which is created if there is none, after a check of the arguments."""
        check_scalar(key, value, count)
        with self._lock:
            history = self._log_scalars.get(key)
            if history is not None:
                self._set_resumed(key, resumed)
                history.update(value, count)
            else:
                history = ScalarHistory()
                history.wait_in(self._on_device)
                history.update(value, count)  # first: a value that cannot be read leaves nothing
                self._set_resumed(key, resumed)
                self._log_scalars[key] = history  # last, so that no reader finds a history without a value
            self._make_ready({key: history})

    def _set_run_id(self, run_id: str) -> None:
        self._run_id = run_id
        self._sharing.write_identity()

    def _make_ready(self, histories: Mapping[str, ScalarHistory]) -> None:
        for key, history in list(histories.items()):
            if self._resumed_keys.get(key) is True and type(history).update is ScalarHistory.update:
                self._ready[key] = history

    def _warn_unsaved(self, form: str, key: str, message: str) -> None:
        if (form, key) not in self._unsaved:
            self._unsaved.add((form, key))
            warnings.warn(message, UnsavedInfoWarning, stacklevel=3)

    def _check_tensors(self, state: HubState) -> None:
        if self._tensors is None:
            return
        for key, value in state.runtime_info.items():
            try:
                self._tensors.check(key, value)
            except HubError as error:
                field = f"runtime_info[{key!r}]"
                raise StateError(f"{error.message}. The hub is unchanged", field=field, requirement="HUB-13") from None

    def _take(self, state: HubState) -> None:
        for history in state.log_scalars.values():
            history.wait_in(self._on_device)
        self._log_scalars.update(state.log_scalars)
        self._runtime_info.update(state.runtime_info)
        self._resumed_keys.update(state.resumed_keys)
        if state.run_id is not None and not self._is_run_id_given:
            self._set_run_id(state.run_id)
        self._ready.clear()
        self._make_ready(self._log_scalars)
        if self._tensors is not None:
            self._tensors.refresh_all()
        board = self._sharing.board
        if board is not None:
            board.refresh_all()

    def _replace_by(self, hub: Any) -> None:
        """Restore the contents of a whole hub: one of ours, or one that mmengine pickled."""
        if isinstance(hub, MessageHub):
            held = hub._contents()
            histories = {key: copy(history) for key, history in held.log_scalars.items()}
            state = HubState(histories, held.runtime_info, held.resumed_keys, held.run_id)
        else:
            state = read_hub(hub)
        with self._lock:
            self._check_tensors(state)
            for mine in (self._log_scalars, self._runtime_info, self._resumed_keys):
                mine.clear()
            self._take(state)
