package interop;

import com.dyuproject.protostuff.ByteString;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Values by name, and a text that is the same for equal ones. */
public class Samples {
    static final Map<String, Object> ALL = new LinkedHashMap<String, Object>();

    /** What comes back, where Java itself does not send all: nulls, and collections of private classes. */
    static final Map<String, Object> ARRIVES = new HashMap<String, Object>();

    static {
        ALL.put("boolean", true);
        ALL.put("byte", (byte) -5);
        ALL.put("char", '\u4e2d');
        ALL.put("short", (short) -300);
        ALL.put("int", Integer.MIN_VALUE);
        ALL.put("long", Long.MIN_VALUE);
        ALL.put("float", 1.5f);
        ALL.put("double", -2.5);
        ALL.put("string", "gr\u00fc\u00df \u4e2d");
        ALL.put("empty", "");
        ALL.put("string682", repeat(682));
        ALL.put("string683", repeat(683));
        ALL.put("string2047", repeat(2047));
        ALL.put("string2048", repeat(2048));
        ALL.put("string10922", repeat(10922));
        ALL.put("string10923", repeat(10923));
        ALL.put("string50000", repeat(50000));
        ALL.put("bytes", new byte[] {1, 2, -1});
        ALL.put("nobytes", new byte[0]);
        ALL.put("bigdecimal", new BigDecimal("1.50"));
        ALL.put("bigdecimalexp", new BigDecimal("1E+5"));
        ALL.put("biginteger", new BigInteger("-123456789012345678901234567890"));
        ALL.put("date", new Date(1234567890123L));
        ALL.put("enum", Types.Color.BLUE);
        ALL.put("intarray", new int[] {1, -2});
        ALL.put("noints", new int[0]);
        ALL.put("intarray2", new int[][] {{1}, {2, 3}});
        ALL.put("bytearray2", new byte[][] {{1}, {2}});
        ALL.put("stringarray", new String[] {"a", "b"});
        ALL.put("objectarray", new Object[] {1, "x", 2L});
        ALL.put("object", new Object());
        ALL.put("bytestring", ByteString.copyFromUtf8("ab"));
        ALL.put("class2", int[][].class);
        ALL.put("string1", "x");
        ALL.put("kib64", repeat(64 << 10));
        ALL.put("rows", new int[][] {{}, {1}, {}});
        ALL.put("objectarray2", new Object[][] {{1, "x"}, {new int[] {2}}});
        ALL.put("nullinthemiddle", new Object[] {"a", null, "b"});
        ARRIVES.put("nullinthemiddle", new Object[] {"a", "b", null});
        ALL.put("nullattheend", new String[] {"a", null});
        ALL.put("allnull", new String[] {null, null});
        ALL.put("nullinalist", new ArrayList<Object>(Arrays.asList(1, null, 2)));
        ARRIVES.put("nullinalist", new ArrayList<Object>(Arrays.asList(1, 2)));
        ALL.put("nullvalue", new HashMap<String, Integer>(Collections.singletonMap("k", (Integer) null)));
        ALL.put("sublist", new ArrayList<Object>(Arrays.asList("a", "b", "c")).subList(0, 2));
        ARRIVES.put("sublist", new ArrayList<Object>(Arrays.asList("a", "b")));
        ALL.put("singletonlist", Collections.singletonList("a"));
        ARRIVES.put("singletonlist", new ArrayList<Object>(Arrays.asList("a")));
        ALL.put("unmodifiableset", Collections.unmodifiableSet(new HashSet<Object>(Arrays.asList("a"))));
        ARRIVES.put("unmodifiableset", new HashSet<Object>(Arrays.asList("a")));
        ALL.put("singletonmap", Collections.singletonMap("k", "v"));
        ARRIVES.put("singletonmap", new HashMap<String, String>(Collections.singletonMap("k", "v")));
        ALL.put("shadow", new Types.Shadow());
        ALL.put("tagged", new Types.Tagged());
        ALL.put("fixtures", fixtures());
        ALL.put("arraylist", new ArrayList<Object>(Arrays.asList(1, "x", 2.5, true)));
        ALL.put("linkedlist", new LinkedList<String>(Arrays.asList("a", "b")));
        ALL.put("hashset", new HashSet<String>(Arrays.asList("a", "b", "c")));
        ALL.put("treeset", new TreeSet<String>(Arrays.asList("a", "b")));
        ALL.put("hashmap", new HashMap<String, Integer>(Collections.singletonMap("k", 1)));
        ALL.put("treemap", new TreeMap<Integer, Object>(Collections.singletonMap(3, (Object) "x")));
        ALL.put("nested", new ArrayList<Object>(Arrays.asList(
                new ArrayList<Object>(Arrays.asList(1)), new HashMap<String, Object>(Collections.singletonMap("k", new int[] {7})))));
        ALL.put("enumset", EnumSet.of(Types.Color.RED, Types.Color.BLUE));
        EnumMap<Types.Color, Integer> em = new EnumMap<Types.Color, Integer>(Types.Color.class);
        em.put(Types.Color.GREEN, 4);
        ALL.put("enummap", em);
        ALL.put("class", String.class);
        ALL.put("child", child());
        ALL.put("circle", circle(3));
        ALL.put("holder", holder());
        ALL.put("mib1", repeat(1 << 20));
    }

    static Object get(String name) {
        if (name.equals("emoji")) {
            return "\ud83d\ude00";
        }
        if (name.startsWith("mib")) {
            return repeat(Integer.parseInt(name.substring(3)) << 20);
        }
        Object v = ALL.get(name);
        if (v == null) {
            throw new IllegalArgumentException("no sample " + name);
        }
        return v;
    }

    /** What get(name) is when it has gone to a peer and back. */
    static Object arrives(String name) {
        return ARRIVES.containsKey(name) ? ARRIVES.get(name) : get(name);
    }

    static String repeat(int n) {
        char[] c = new char[n];
        Arrays.fill(c, 'x');
        return new String(c);
    }

    static Types.Child child() {
        Types.Child c = new Types.Child();
        c.nested = new Types.Base();
        return c;
    }

    static Types.Circle circle(int radius) {
        Types.Circle c = new Types.Circle();
        c.radius = radius;
        return c;
    }

    static Types.Fixtures fixtures() {
        Types.Fixtures x = new Types.Fixtures();
        x.child = child();
        x.shadow = new Types.Shadow();
        x.tagged = new Types.Tagged();
        Types.Bounded<Integer, String> b = new Types.Bounded<Integer, String>();
        b.n = 8;
        b.list = new ArrayList<String>(Arrays.asList("e"));
        b.chars = "c";
        b.serializable = 4;
        b.comparable = "z";
        b.any = Types.Color.BLUE;
        b.colors = new HashMap<Types.Color, Types.Base>(Collections.singletonMap(Types.Color.GREEN, new Types.Base()));
        b.raw = new HashMap<Object, Object>(Collections.singletonMap("k", 1));
        b.lists = new HashMap<Integer, List<String>>();
        b.lists.put(3, new ArrayList<String>(Arrays.asList("h")));
        b.longs = new HashSet<Long>(Arrays.asList(1L, 2L));
        b.shapes = new ArrayList<Types.Shape>(Arrays.asList(circle(2)));
        b.set = EnumSet.of(Types.Color.RED, Types.Color.BLUE);
        b.map = new EnumMap<Types.Color, Integer>(Collections.singletonMap(Types.Color.BLUE, 9));
        b.maps = new HashMap<String, Map<String, Integer>>();
        b.maps.put("a", new HashMap<String, Integer>(Collections.singletonMap("b", 1)));
        b.wild = new ArrayList<Types.Base>(Arrays.asList(new Types.Base()));
        b.iterable = new ArrayList<String>(Arrays.asList("i"));
        b.bytes = new ArrayList<byte[]>(Arrays.asList(new byte[] {7}));
        b.dates = new ArrayList<Date>(Arrays.asList(new Date(3)));
        x.bounded = b;
        return x;
    }

    static Types.Holder holder() {
        Types.Holder h = new Types.Holder();
        h.shape = circle(3);
        h.any = "x";
        h.color = Types.Color.BLUE;
        h.strings = new ArrayList<String>(Arrays.asList("p", "q"));
        h.bases = new ArrayList<Types.Base>(Arrays.asList(new Types.Base()));
        h.counts = new HashMap<String, Integer>(Collections.singletonMap("k", 1));
        h.ints = new int[] {1, 2};
        h.bytes = new byte[] {1, 2};
        h.date = new Date(1);
        h.decimal = new BigDecimal("1.50");
        h.integer = new BigInteger("-129");
        h.c = 'A';
        h.s = -2;
        h.b = -1;
        h.f = 1;
        h.names = new String[] {"s", "t"};
        h.number = 5L;
        h.colors = new HashSet<Types.Color>(Arrays.asList(Types.Color.GREEN));
        h.boxed = 9;
        h.base = new Types.Base();
        h.objects = new HashMap<String, Object>(Collections.singletonMap("o", (Object) 2L));
        h.nested = new ArrayList<List<String>>();
        h.nested.add(new ArrayList<String>(Arrays.asList("in")));
        return h;
    }

    /** Equal values have equal texts. */
    static String text(Object v) {
        if (v == null) {
            return "null";
        }
        Class<?> c = v.getClass();
        if (v instanceof Class) {
            return v.toString();
        }
        if (v instanceof Date) {
            return "Date:" + ((Date) v).getTime();
        }
        if (c.isArray()) {
            StringBuilder s = new StringBuilder(c.getName()).append('[');
            for (int i = 0; i < Array.getLength(v); i++) {
                s.append(text(Array.get(v, i))).append(',');
            }
            return s.append(']').toString();
        }
        if (v instanceof Collection) {
            List<String> parts = new ArrayList<String>();
            for (Object e : (Collection<?>) v) {
                parts.add(text(e));
            }
            if (v instanceof java.util.Set) {
                Collections.sort(parts);
            }
            return c.getName() + parts;
        }
        if (v instanceof Map) {
            List<String> parts = new ArrayList<String>();
            for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                parts.add(text(e.getKey()) + "=" + text(e.getValue()));
            }
            Collections.sort(parts);
            return c.getName() + parts;
        }
        if (c == Object.class) {
            return "Object";
        }
        if (v instanceof ByteString) {
            return "ByteString:" + ((ByteString) v).toStringUtf8();
        }
        if (!c.getName().startsWith("interop.") || c.isEnum()) {
            return c.getName() + ":" + v;
        }
        StringBuilder s = new StringBuilder(c.getName()).append('{');
        for (Class<?> k = c; k != Object.class; k = k.getSuperclass()) {
            for (Field f : k.getDeclaredFields()) {
                if (Modifier.isStatic(f.getModifiers()) || f.isSynthetic()) {
                    continue;
                }
                try {
                    s.append(f.getName()).append('=').append(text(f.get(v))).append(';');
                } catch (IllegalAccessException e) {
                    throw new RuntimeException(e);
                }
            }
        }
        return s.append('}').toString();
    }

    static String same(Object want, Object got) {
        String w = text(want);
        String g = text(got);
        return w.equals(g) ? "same" : "DIFFERENT " + g.substring(0, Math.min(400, g.length()));
    }
}
