package java

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Holds reports whether an array of a class can hold a value, as far as that can be
// told without the classes: Java cannot read the whole body if it does not
// (Array.set). component is as in Array.
func Holds(component string, dims int, v any) bool {
	if dims > 1 {
		switch v := v.(type) {
		case Array:
			return v.Dims >= dims-1 && (!primitive(component) || v.Dims == dims-1 && v.Component == component)
		case []byte:
			return dims == 2 && component == "byte"
		}
		return false
	}
	if k := slices.Index(numbers[:], component); k >= 0 {
		have := numberOf(v)
		return have == k || have >= 0 && have < k && component != "char"
	}
	var ok bool
	switch component {
	case "boolean", "java.lang.Boolean":
		_, ok = v.(bool)
	case "java.lang.Byte":
		_, ok = v.(int8)
	case "java.lang.Character":
		_, ok = v.(Char)
	case "java.lang.Short":
		_, ok = v.(int16)
	case "java.lang.Integer":
		_, ok = v.(int32)
	case "java.lang.Long":
		_, ok = v.(int64)
	case "java.lang.Float":
		_, ok = v.(float32)
	case "java.lang.Double":
		_, ok = v.(float64)
	case "java.lang.String":
		_, ok = v.(string)
	case "java.math.BigDecimal":
		_, ok = v.(BigDecimal)
	case "java.math.BigInteger":
		_, ok = v.(*big.Int)
	case "java.util.Date":
		_, ok = v.(time.Time)
	case "java.lang.Class":
		_, ok = v.(Class)
	default:
		ok = true
	}
	return ok
}

// numbers are the primitive types that widen: each takes those before it, but char
// takes no byte and no short.
var numbers = [...]string{"byte", "short", "char", "int", "long", "float", "double"}

func primitive(class string) bool { return class == "boolean" || slices.Contains(numbers[:], class) }

// numberOf returns the place in numbers of a value's type, -1 if it has none.
func numberOf(v any) int {
	switch v.(type) {
	case int8:
		return 0
	case int16:
		return 1
	case Char:
		return 2
	case int32:
		return 3
	case int64:
		return 4
	case float32:
		return 5
	case float64:
		return 6
	}
	return -1
}

// Valid reports whether Java can read the number.
func (d BigDecimal) Valid() bool {
	text, exponent, ok := strings.Cut(strings.ToLower(string(d)), "e")
	if ok {
		if _, err := strconv.ParseInt(exponent, 10, 32); err != nil {
			return false
		}
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	whole, fraction, _ := strings.Cut(text, ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return whole+fraction != "" && digits(whole) && digits(fraction)
}

// The classes that Java knows by their simple names (CollectionSchema, MapSchema).
var (
	collectionNames = strings.Fields(`Collection List ArrayList LinkedList CopyOnWriteArrayList Stack Vector Set HashSet
		LinkedHashSet SortedSet NavigableSet TreeSet ConcurrentSkipListSet CopyOnWriteArraySet Queue BlockingQueue
		LinkedBlockingQueue Deque BlockingDeque LinkedBlockingDeque ArrayBlockingQueue ArrayDeque ConcurrentLinkedQueue
		PriorityBlockingQueue PriorityQueue`)
	mapNames = strings.Fields(`Map SortedMap NavigableMap HashMap LinkedHashMap TreeMap WeakHashMap IdentityHashMap
		Hashtable ConcurrentMap ConcurrentHashMap ConcurrentNavigableMap ConcurrentSkipListMap`)
)

// KnowsCollection reports whether Java can read a collection whose class has this
// name: a simple one of its list, or any full name.
func KnowsCollection(class string) bool {
	return strings.Contains(class, ".") || slices.Contains(collectionNames, class)
}

// KnowsMap is KnowsCollection for maps.
func KnowsMap(class string) bool {
	return strings.Contains(class, ".") || slices.Contains(mapNames, class)
}

// listClass is the class of a collection as it is written: one that Java can read.
// List.of and subList have names that it writes and cannot read, and the wrappers
// of java.util.Collections cannot be read by Java 16 and later.
func listClass(class string) string {
	name, wrapper := strings.CutPrefix(class, wrapperPrefix)
	switch {
	case !wrapper && KnowsCollection(class):
		return class
	case strings.Contains(name, "Set"):
		return "HashSet"
	}
	return "ArrayList"
}

// mapClass is listClass for maps.
func mapClass(class string) string {
	if strings.HasPrefix(class, wrapperPrefix) || !KnowsMap(class) {
		return "HashMap"
	}
	return class
}
