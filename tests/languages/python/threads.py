import threading, queue, concurrent.futures, asyncio, time
results = queue.Queue()
lock, total = threading.Lock(), 0
def work(n):
    global total
    for _ in range(1000):
        with lock:
            total += n
    results.put(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
print(total, sorted(results.get() for _ in threads))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda x: x * x, range(10))))
async def later(n):
    await asyncio.sleep(0.001 * (5 - n))
    return n
async def main():
    print(await asyncio.gather(*(later(n) for n in range(5))))
asyncio.run(main())
