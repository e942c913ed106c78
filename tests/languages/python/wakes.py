# The loop of asyncio sleeps until another thread, or a signal, wakes it.
import asyncio, os, signal, socket, time
async def main():
    print(await asyncio.to_thread(lambda: (time.sleep(0.2), 5)[1]))
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await heard.wait()
    print("heard")
signal.alarm(20)
asyncio.run(main())
a, b = socket.socketpair()
a.sendall(b"over the pair")
print(b.recv(4, socket.MSG_PEEK), b.recv(99))
