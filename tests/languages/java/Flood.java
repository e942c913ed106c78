// @ box: --output 1MiB
// @ verdict: output_limit
public class Flood {
    public static void main(String[] a) { for (;;) System.out.println("more of the same"); }
}
