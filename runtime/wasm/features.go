package wasm

// feature is a part of WebAssembly that is not offered, as people call it.
type feature string

const (
	featureTailCalls   feature = "tail calls (return_call)"
	featureThreads     feature = "threads (atomics)"
	featureShared      feature = "shared memory"
	featureExceptions  feature = "exception handling (try_table)"
	featureMemory64    feature = "memory64"
	featureMemories    feature = "multiple memories"
	featureRelaxedSIMD feature = "relaxed SIMD"
	featureTypedRefs   feature = "typed function references"
	featureGC          feature = "GC"
	featureConst       feature = "extended constant expressions"
	featureComponents  feature = "component model"
	featureWide        feature = "wide arithmetic"
	featureStacks      feature = "stack switching"
	featureStrings     feature = "stringref"
	featurePages       feature = "custom page sizes"
)

// hint says how a module is built without the feature.
func (f feature) hint() string {
	switch f {
	case featureTailCalls:
		return "build without -mtail-call, or lower it with wasm-opt"
	case featureThreads, featureShared:
		return "build for one thread: without -pthread, -matomics and --shared-memory"
	case featureExceptions:
		return "build with -fno-exceptions, or with panic=abort"
	case featureMemory64:
		return "build for wasm32"
	case featureMemories:
		return "keep all data in memory 0"
	case featureRelaxedSIMD:
		return "build with -msimd128 alone, without -mrelaxed-simd"
	case featureTypedRefs:
		return "use call_indirect, and funcref or externref"
	case featureGC:
		return "choose a compiler that manages its own memory: Kotlin, Dart and Java for the browser need GC"
	case featureConst:
		return "link statically, with offsets that are constants: without -shared, -pie and -mextended-const"
	case featureComponents:
		return "build a core module, for wasm32-wasip1 or wasm32-unknown-unknown"
	default:
		return "build without it"
	}
}

// featureOf knows the instructions of the refused features, by their first byte,
// and for those behind 0xfc and 0xfd by their number.
func featureOf(first byte, number uint32) feature {
	switch {
	case first >= 0x06 && first <= 0x0a, first == 0x18, first == 0x19, first == 0x1f:
		return featureExceptions
	case first == 0x12, first == 0x13:
		return featureTailCalls
	case first == 0x14, first == 0x15, first >= 0xd4 && first <= 0xd6:
		return featureTypedRefs
	case first == 0xd3:
		return featureGC
	case first >= 0xe0 && first <= 0xe6:
		return featureStacks
	case first == 0xfb && number >= 0x80:
		return featureStrings
	case first == 0xfb:
		return featureGC
	case first == 0xfe:
		return featureThreads
	case first == prefixSIMD && number >= 0x100 && number <= 0x12f:
		return featureRelaxedSIMD
	case first == prefixMisc && number >= 19 && number <= 22:
		return featureWide
	default:
		return ""
	}
}

// featureOfType knows the value types and heap types of the refused features.
func featureOfType(b byte) feature {
	switch b {
	case 0x63, 0x64:
		return featureTypedRefs
	case 0x69, 0x74:
		return featureExceptions
	case 0x68, 0x75:
		return featureStacks
	case 0x67:
		return featureStrings
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x77, 0x78:
		return featureGC
	default:
		return ""
	}
}

// featureOfForm knows the forms of types that are not functions.
func featureOfForm(b byte) feature {
	switch b {
	case 0x5f, 0x5e, 0x50, 0x4f, 0x4e:
		return featureGC
	case 0x5d:
		return featureStacks
	default:
		return ""
	}
}

// featureOfFlags knows the flags of a memory's or table's size: 2 is shared, 4 is
// 64 bits wide, 8 has pages of its own size.
func featureOfFlags(flags byte) feature {
	switch {
	case flags > 15:
		return ""
	case flags&2 != 0:
		return featureShared
	case flags&4 != 0:
		return featureMemory64
	case flags&8 != 0:
		return featurePages
	default:
		return ""
	}
}

// featureOfConst knows the instructions that constant expressions may have in the
// version after: i32 and i64 add, sub and mul.
func featureOfConst(op byte) feature {
	switch {
	case op >= 0x6a && op <= 0x6c, op >= 0x7c && op <= 0x7e:
		return featureConst
	case op == 0xfb:
		return featureGC
	default:
		return ""
	}
}
