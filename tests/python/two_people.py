"""Two people through the bindings: the generated package, the real library, the real service.

Arguments: the WebSocket address, the HTTP address, a folder, docs/bindings.md, three phone numbers. What the script cannot do itself it asks
for by a line of JSON on standard output, and reads the answer as a line: the code that a phone got, and time to pass at
the service. Its last line counts what was shown.
"""

import asyncio
import json
import os
import pathlib
import sys
import time

import waxwing
from waxwing import Client, ClientError, Comparison, Endpoints, Event, KeyStore, KeyStoreError, StoreLocation

# Far beyond what anything takes; reached only when a promise is broken.
PATIENCE = 60

websocket_url, http_url, folder, documentation, *numbers = sys.argv[1:]
endpoints = Endpoints(websocket_url=websocket_url, http_url=http_url, audience="waxwing")
folder = pathlib.Path(folder)
shown = {}


def ask(**question):
    print(json.dumps(question), flush=True)
    return json.loads(sys.stdin.readline())


class Keychain(KeyStore):
    """What a phone has: it keeps one secret, and can be locked."""

    def __init__(self, secret=None, fails=None):
        self.secret, self.fails, self.saved = secret, fails, 0

    def load(self):
        if self.fails:
            raise self.fails
        return self.secret

    def save(self, secret):
        self.secret, self.saved = secret, self.saved + 1


class Person:
    """A client and what it told, each event once it was handled."""

    def __init__(self, client):
        self.client, self.told, self.news = client, [], asyncio.Condition()

    async def __aenter__(self):
        self.events = await self.client.events()
        self.reader = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_):
        self.reader.cancel()
        await asyncio.gather(self.reader, return_exceptions=True)

    async def read(self):
        while event := await self.events.next():
            async with self.news:
                self.told.append(event)
                self.news.notify_all()
            await self.events.handled()

    async def until(self, what, matches):
        """The first event told so far or from now on that matches; what came up to it counts as seen."""

        async def wait():
            async with self.news:
                while True:
                    for place, event in enumerate(self.told):
                        if matches(event):
                            del self.told[: place + 1]
                            return event
                    await self.news.wait()

        return await within(what, wait())


async def within(what, waiting):
    try:
        return await asyncio.wait_for(waiting, PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"waited in vain: {what}") from None


async def refused(case, waiting):
    try:
        await waiting
    except case as error:
        assert str(error), "a sentence for a person"
        shown.setdefault("errors", []).append(type(error).__name__)
        return error
    raise AssertionError(f"{case.__name__} was expected")


async def register(client, number, pin=None):
    await client.request_code(number)
    confirmed = await client.confirm(number, ask(code_for=number))
    return confirmed, await client.register(pin)


async def texts(client, account):
    return [message.text for message in await client.page(account, None, 1_000)]


async def state(client, account, message):
    """What the store says of a message."""
    for stored in await client.page(account, None, 1_000):
        if stored.id == message:
            return stored.state


async def until_state(client, account, message, reached):
    async def look():
        while not getattr(await state(client, account, message), f"is_{reached}")():
            await asyncio.sleep(0.02)

    await within(f"{reached}", look())


def says(text):
    return lambda event: event.is_MESSAGE() and event.message.text == text


async def two_people_talk(alice, bob):
    a, b = alice.client.address().account, bob.client.address().account

    # Nobody is connected: it is stored, and returns.
    first = await alice.client.send_text(b, "first, without a network")
    assert (await state(alice.client, b, first)).is_PENDING()
    assert await alice.client.pending() == 1
    await bob.client.let_in(a)
    alice.client.connect()
    await alice.until("accepted", lambda event: event.is_ACCEPTED() and event.message == first)
    assert await alice.client.pending() == 0

    bob.client.connect()
    told = await bob.until("the first message", says("first, without a network"))
    assert told.message.id == first and not told.message.own and told.message.sender.account == a
    assert (await bob.client.conversations())[0].unread == 1
    await alice.until("delivered", lambda event: event.is_RECEIPT() and event.stage == waxwing.ReceiptStage.DELIVERED)
    assert (await state(alice.client, b, first)).is_DELIVERED()
    await bob.client.mark_read(a, told.message.position)
    assert (await bob.client.conversations())[0].unread == 0
    await alice.until("read", lambda event: event.is_RECEIPT() and event.stage == waxwing.ReceiptStage.READ)
    assert (await state(alice.client, b, first)).is_READ()

    await bob.client.send_text(a, "and back")
    await alice.until("the answer", says("and back"))
    assert await texts(alice.client, b) == await texts(bob.client, a) == ["first, without a network", "and back"]
    newest = (await alice.client.page(b, None, 1))[0]
    assert [message.id for message in await alice.client.page(b, newest.position, 5)] == [first]
    shown["messages"] = 2


async def what_is_said_for_now(alice, bob):
    a, b = alice.client.address().account, bob.client.address().account
    alice.client.set_typing(b, True)
    typing = await bob.until("typing", lambda event: event.is_TYPING())
    assert typing.conversation == a and typing.device == alice.client.address()
    alice.client.set_typing(b, False)
    await bob.until("no typing", lambda event: event.is_TYPING_STOPPED())

    assert not await alice.client.shares_presence()
    for person in [alice, bob]:
        await person.client.share_presence(True)
    alice.client.watch_presence(b)
    await alice.until("bob is there", lambda event: event.is_PRESENCE() and event.account == b and event.present)
    bob.client.background()
    await alice.until("bob is away", lambda event: event.is_PRESENCE() and not event.present)
    bob.client.foreground()
    alice.client.unwatch_presence(b)

    settings = waxwing.ReceiptSettings(delivered=True, read=False)
    await alice.client.set_receipts(settings)
    assert await alice.client.receipts() == settings
    shown["typing and presence"] = True


async def they_compare_their_keys(alice, bob):
    a, b = alice.client.address().account, bob.client.address().account
    of_alice, of_bob = await alice.client.safety_number(b), await bob.client.safety_number(a)
    assert of_alice.digits() == of_bob.digits() and len(of_alice.digits()) == 60
    assert str(of_alice).replace(" ", "") == of_alice.digits()
    assert of_alice.compare_code(of_bob.code()) == Comparison.MATCH
    assert of_alice.compare_digits(str(of_bob)) == Comparison.MATCH
    assert of_alice.compare_code(of_alice.code()) == Comparison.OTHER_PERSON
    assert of_alice.compare_digits("0" * 60) == Comparison.MISMATCH
    try:
        of_alice.compare_code("something else")
        raise AssertionError("no code")
    except ClientError.InvalidCode:
        pass
    await refused(ClientError.NoSafetyNumber, alice.client.safety_number(a))
    await alice.client.mark_verified(b, of_alice)
    assert (await alice.client.contact(b)).verified and not (await bob.client.contact(a)).verified
    await alice.client.unmark_verified(b)
    assert not (await alice.client.contact(b)).verified
    shown["safety number"] = True


async def another_device_comes_and_goes(alice):
    laptop = await Client.open(StoreLocation.in_memory(), endpoints)
    linking = asyncio.create_task(laptop.link(await alice.client.offer_link(), "laptop"))
    request = await alice.until("a device asks", lambda event: event.is_LINK_REQUESTED())
    assert request.name == "laptop" and request.fingerprint == await laptop.fingerprint()
    await alice.client.answer_link(request.request, True)
    address = await within("linked", linking)
    assert address.account == alice.client.address().account and address.device == 2
    assert [(device.device, device.is_this) for device in await alice.client.devices()] == [(1, True), (2, False)]
    await refused(ClientError.NotPrimary, laptop.revoke(1))
    async with Person(laptop) as other:
        laptop.connect()
        await other.until("connected", lambda event: event.is_CONNECTED())
        await it_gets_the_history(alice, other)
        await it_is_woken_there(laptop)
        await alice.client.revoke(2)
        removed = await other.until("removed", lambda event: event.is_REMOVED())
        assert removed.reason == waxwing.RemovalReason.REVOKED
    await laptop.shut_down()
    await refused(ClientError.NoSuchDevice, alice.client.revoke(100))
    shown["devices"] = 2


async def it_gets_the_history(alice, other):
    talks = await alice.client.conversations()
    before = sum([len(await alice.client.page(talk.account, None, 1_000)) for talk in talks])
    history = await alice.client.offer_history(2, waxwing.HistoryChoice.ALL())
    offered = await other.until("offered", lambda event: event.is_HISTORY_OFFERED())
    assert (offered.history, offered.device, offered.messages) == (history, 1, before) and before > 0
    await other.client.take_history(history)
    ended = await other.until("taken", lambda event: event.is_HISTORY_ENDED())
    assert ended.end == waxwing.HistoryEnd.COMPLETE
    (state,) = await other.client.histories()
    assert (state.history, state.giving, state.done, state.total) == (history, False, before, before)
    await refused(ClientError.NoSuchHistory, other.client.take_history("0" * 32))
    await refused(ClientError.NoSuchDevice, alice.client.offer_history(9, waxwing.HistoryChoice.DAYS(days=3)))
    shown["history"] = before


async def it_is_woken_there(client):
    await refused(ClientError.InvalidPushToken, client.set_push_token(waxwing.Platform.FCM, "no token"))
    assert (await client.push_state()).is_OFF()
    await client.set_push_token(waxwing.Platform.FCM, "token-of-a-laptop")

    async def told(state):
        while not state(await client.push_state()):
            await asyncio.sleep(0.05)

    await within("the service knows the token", told(waxwing.PushState.is_ON))
    await client.clear_push_token()
    await within("the service forgot it", told(waxwing.PushState.is_OFF))
    shown["push"] = True


async def who_stops_waiting_loses_nothing(alice, bob):
    """Waits are cancelled at any moment while messages flow, also in the one between an event and its arrival here."""
    a, b = alice.client.address().account, bob.client.address().account
    count = 150
    events, came, cancelled = await bob.client.events(), [], 0
    waiting = asyncio.create_task(events.next())
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    async def send():
        for number in range(count):
            await alice.client.send_text(b, f"number {number}")

    sending = asyncio.create_task(send())
    patience = asyncio.get_running_loop().time() + PATIENCE
    while len(came) < count:
        assert asyncio.get_running_loop().time() < patience, f"only {len(came)} came"
        waiting = asyncio.create_task(events.next())
        # From none at all to some milliseconds: some waits end just as their event is there.
        await asyncio.sleep((cancelled % 20) / 4_000)
        waiting.cancel()
        (event,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(event, asyncio.CancelledError):
            cancelled += 1
            continue
        if event.is_MESSAGE():
            assert (await events.next()).message.id == event.message.id, "given again until it is handled"
            came.append(event.message.text)
        await events.handled()
    await sending
    assert came == [f"number {number}" for number in range(count)], came
    assert cancelled > 0
    shown["cancelled waits"], shown["messages among them"] = cancelled, count
    # The last one again, not handled this time: it waits for whoever opens the client next.
    await alice.client.send_text(b, "not handled")
    while not says("not handled")(await within("the last message", events.next())):
        await events.handled()
    return events


async def nothing_prints_a_secret(bob, a):
    message = (await bob.page(a, None, 1))[0]
    location = StoreLocation.with_passphrase("bob.db", "bob.key", "rowan berries")
    event = Event.MESSAGE(message)
    printed = " ".join(show(value) for value in [message, event, location, bob] for show in [str, repr])
    assert "number" not in printed and "handled" not in printed and "rowan" not in printed, printed
    assert str(message).startswith("StoredMessage("), printed


async def a_closed_client_says_so_and_all_is_there_again(bob, events, alice):
    path, key = str(folder / "bob.db"), str(folder / "bob.key")
    location = StoreLocation.with_passphrase(path, key, "rowan berries")
    a, me, before = alice.client.address().account, bob.address(), await bob.page(alice.client.address().account, None, 1_000)
    await refused(ClientError.StoreInUse, Client.open(location, endpoints))
    waiting = asyncio.create_task(read_to_the_end(events))
    await bob.shut_down()
    await bob.shut_down()
    await within("the events end", waiting)
    await refused(ClientError.Closed, bob.send_text(a, "too late"))
    await refused(ClientError.Closed, bob.events())
    try:
        bob.connect()
        raise AssertionError("a closed client connects")
    except ClientError.Closed:
        pass

    other = StoreLocation.with_passphrase(path, key, "elder berries")
    await refused(ClientError.WrongPassphrase, Client.open(other, endpoints))
    bob = await Client.open(location, endpoints)
    assert bob.address() == me
    assert await bob.page(a, None, 1_000) == before
    events = await bob.events()
    assert says("not handled")(await within("what was not handled", events.next()))
    await events.handled()
    shown["messages kept"] = len(before)
    return bob


async def read_to_the_end(events):
    while await events.next():
        await asyncio.sleep(0.01)


async def the_app_keeps_the_key(alice, keychain):
    path = str(folder / "alice.db")
    assert keychain.saved >= 1 and len(keychain.secret) == 32
    first, saved = keychain.secret, keychain.saved
    await alice.change_key()
    assert keychain.secret != first and keychain.saved > saved
    me = alice.address()
    await alice.shut_down()
    for case, other in {
        ClientError.WrongKey: Keychain(first),
        ClientError.KeyMissing: Keychain(),
        ClientError.KeyMalformed: Keychain(b"short"),
        ClientError.KeyLocked: Keychain(fails=KeyStoreError.Locked()),
    }.items():
        await refused(case, Client.open(StoreLocation.kept_by(path, other), endpoints))
    told = Keychain(fails=KeyStoreError.Failed(reason="no such item"))
    error = await refused(ClientError.KeyStoreFailed, Client.open(StoreLocation.kept_by(path, told), endpoints))
    assert str(error).endswith("no such item"), error
    threw = Keychain(fails=RuntimeError("the secret is 12345"))
    error = await refused(ClientError.KeyStoreFailed, Client.open(StoreLocation.kept_by(path, threw), endpoints))
    assert "12345" not in str(error), error
    alice = await Client.open(StoreLocation.kept_by(path, keychain), endpoints)
    assert alice.address() == me
    in_a_file = StoreLocation.with_key_file(str(folder / "carol.db"), str(folder / "carol.key"))
    for _ in range(2):
        carol = await Client.open(in_a_file, endpoints)
        assert carol.address() is None
        await carol.shut_down()
    assert (folder / "carol.key").stat().st_mode & 0o077 == 0
    return alice


async def somebody_who_begins_anew_is_asked_about(alice, number):
    """Bob lost his phone. His number is locked; the new phone has another account key, which Alice has to answer."""
    ask(let_time_pass=61)
    phone = await Client.open(StoreLocation.in_memory(), endpoints)
    await phone.request_code(number)
    confirmed = await phone.confirm(number, ask(code_for=number))
    assert confirmed.has_account and confirmed.locked
    await refused(ClientError.PinNeeded, phone.register(None))
    await refused(ClientError.WrongPin, phone.register("9417"))
    b = (await phone.register("8305")).account
    await phone.remove_lock()
    async with Person(phone):
        phone.connect()
        alice.client.connect()
        await phone.send_text(alice.client.address().account, "my new phone")
        changed = await alice.until("another key", lambda event: event.is_ACCOUNT_KEY_CHANGED())
        assert changed.account == b
        held = await alice.client.send_text(b, "is it you?")
        await until_state(alice.client, b, held, "HELD")
        await refused(ClientError.OtherKey, alice.client.trust(b, other_fingerprint(changed.fingerprint)))
        await alice.client.trust(b, changed.fingerprint)
        await alice.until("sent after the answer", lambda event: event.is_ACCEPTED() and event.message == held)
    await phone.shut_down()
    shown["key change"] = True


def other_fingerprint(fingerprint):
    """Of the same form, and of no key that anybody has."""
    return fingerprint[:-1] + ("A" if fingerprint[-1] != "A" else "B")


async def what_is_refused_has_a_name(client, number):
    await refused(ClientError.NotRegistered, client.send_text("11111111-1111-4111-8111-111111111111", "hello"))
    await refused(ClientError.NotRegistered, client.set_lock("8305"))
    await refused(ClientError.NoCode, client.register(None))
    await refused(ClientError.InvalidPhoneNumber, client.request_code("415 555 0101"))
    challenged = await client.request_code(number)
    assert challenged.expires_in_seconds > 0 and challenged.next_in_seconds > 0
    await refused(ClientError.NotConfirmed, client.register(None))
    code = ask(code_for=number)
    await refused(ClientError.WrongCode, client.confirm(number, f"{(int(code) + 1) % 1_000_000:06}"))
    confirmed = await client.confirm(number, code)
    assert not confirmed.has_account and not confirmed.locked
    me = await client.register(None)
    assert me.device == 1 and client.address() == me == await client.register(None)
    await refused(ClientError.InvalidId, client.send_text("bob", "hello"))
    await refused(ClientError.EmptyText, client.send_text(me.account, ""))
    await refused(ClientError.TextTooLong, client.send_text(me.account, "x" * 10_000))
    nowhere = Endpoints(websocket_url="ws://127.0.0.1:1/x", http_url="ftp://127.0.0.1:1/x", audience="waxwing")
    await refused(ClientError.InvalidEndpoint, Client.open(StoreLocation.in_memory(), nowhere))


async def the_example_of_the_documentation_runs(alice):
    """As it is there. Alice answers whoever writes."""
    example = pathlib.Path(documentation).read_text().split("```python\n")[1].split("```")[0]
    number, passwords, shows = numbers[2], {}, asyncio.Queue()

    class keyring:
        set_password = staticmethod(lambda service, user, password: passwords.update({(service, user): password}))
        get_password = staticmethod(lambda service, user: passwords.get((service, user)))

    scope = dict(waxwing=waxwing, keyring=keyring, endpoints=endpoints, phone=number, bob=alice.client.address().account)
    scope |= dict(show=shows.put_nowait, code_from_sms=lambda: ask(code_for=number))
    os.mkdir(folder / "example")
    os.chdir(folder / "example")
    exec(compile(example, documentation, "exec"), scope)
    for times in [1, 2]:
        running = asyncio.create_task(scope["main"]())
        running.add_done_callback(lambda done: done.cancelled() or done.result())
        hello = await alice.until("what the example says", says("Hello"))
        await alice.client.send_text(hello.message.sender.account, f"{times} of 2")
        # The one before comes again if it was shown and not handled when the example was stopped.
        while (await within("what the example shows", shows.get())).text != f"{times} of 2":
            pass
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    shown["example"] = times


async def main():
    keychain = Keychain()
    alice = await Client.open(StoreLocation.kept_by(str(folder / "alice.db"), keychain), endpoints)
    location = StoreLocation.with_passphrase(str(folder / "bob.db"), str(folder / "bob.key"), "rowan berries")
    bob = await Client.open(location, endpoints)
    await what_is_refused_has_a_name(alice, numbers[0])
    await register(bob, numbers[1])
    await bob.set_lock("8305")
    a = alice.address().account
    async with Person(alice) as of_alice:
        async with Person(bob) as of_bob:
            await two_people_talk(of_alice, of_bob)
            await what_is_said_for_now(of_alice, of_bob)
            await they_compare_their_keys(of_alice, of_bob)
            await another_device_comes_and_goes(of_alice)
        events = await who_stops_waiting_loses_nothing(of_alice, of_bob)
        await nothing_prints_a_secret(bob, a)
        bob = await a_closed_client_says_so_and_all_is_there_again(bob, events, of_alice)
        await bob.disconnect()
    await bob.shut_down()
    alice = await the_app_keeps_the_key(alice, keychain)
    async with Person(alice) as of_alice:
        await somebody_who_begins_anew_is_asked_about(of_alice, numbers[1])
        await the_example_of_the_documentation_runs(of_alice)
    await alice.shut_down()
    shown["errors"] = len(set(shown["errors"]))
    print(json.dumps(shown), flush=True)


asyncio.run(main())
# Python before 3.14 ends a process by "exception not rethrown" if a thread of the library comes back to it while it ends.
time.sleep(1)
