package interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Reads commands from stdin, one a line, and prints one line for each: "ID ok ..." or "ID error ...". */
abstract class Driver {
    private final PrintStream out = new PrintStream(System.out, true);
    private final ExecutorService pool = Executors.newCachedThreadPool();

    /** Runs one command. */
    abstract Object run(String command, String[] args) throws Exception;

    synchronized void print(String line) {
        out.println(line.replace("\n", " "));
    }

    void loop() throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            final String[] words = line.split(" ");
            if (words[1].equals("quit")) {
                break;
            }
            pool.submit(new Callable<Void>() {
                public Void call() {
                    try {
                        String[] args = java.util.Arrays.copyOfRange(words, 2, words.length);
                        Object result = words[1].equals("threads") ? threads() : Driver.this.run(words[1], args);
                        print(words[0] + " ok " + result);
                    } catch (Throwable e) {
                        print(words[0] + " error " + e.getClass().getName() + ": " + e.getMessage());
                    }
                    return null;
                }
            });
        }
        System.exit(0);
    }

    /** How many threads of brpc-java's fixed pools of workers are alive. A dead one is not replaced. */
    static int threads() {
        int n = 0;
        for (Thread t : Thread.getAllStackTraces().keySet()) {
            if (t.getName().contains("work-thread")) {
                n++;
            }
        }
        return n;
    }
}
