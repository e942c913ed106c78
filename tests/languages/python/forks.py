# @ box: --processes 16 --cpu-time 1s
# @ verdict: cpu_limit
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
