// Threads in a static initialiser, without an end.
// @ box: --processes 64 --cpu-time 3s
// @ verdict: cpu_limit
public class Forks {
    static {
        while (Forks.class != null) {
            try {
                new Thread(() -> { for (;;) Thread.onSpinWait(); }).start();
            } catch (OutOfMemoryError none) {
                Thread.onSpinWait();
            }
        }
    }
    public static void main(String[] a) {}
}
