package wasm

import "cmp"

// Limits bound what a module may ask of the compiler and of every sandbox, whose
// time and memory nothing else bounds. The zero value of a field means its
// default. The bytes of the module itself are the caller's to bound; the defaults
// suit 20 MB.
//
// A block, as it is counted here, is what the compiler makes a basic block of,
// once fuel was injected: four for a function (entry, exit, and the same for the
// check), one for a block, five for a loop (header, after, and three for the
// check), three for an if, one for a br_if, one for each label of a br_table, and
// four for each bulk operation (memory.copy, memory.fill, memory.init,
// table.copy, table.fill, table.init).
type Limits struct {
	// Types are function types; their parameters and results together are
	// TypeValues. The compiler keeps 8 bytes and a string of 3 for each value, and
	// code for each type. Default to 10,000 and 100,000.
	Types, TypeValues int
	// Values bounds the parameters of a function, and its results. Defaults to
	// 1,000: https://webassembly.github.io/spec/js-api/#limits.
	Values int
	// Imports defaults to 10,000: some 80 bytes here, 200 in the compiler.
	Imports int
	// Functions are those that the module defines. Defaults to 50,000, of which
	// each costs the compiler 10 us at least.
	Functions int
	// Tables and TableEntries bound the tables, and the minimum of each. Default to
	// 4 and 100,000: 3.2 MB in each sandbox, outside of its memory limit.
	Tables, TableEntries int
	// Globals defaults to 10,000: 80 bytes each in every sandbox.
	Globals int
	// Exports defaults to 50,000: one for each function.
	Exports int
	// ElementSegments defaults to 10,000, and Elements, the entries of all of
	// them, to 400,000: four tables are filled.
	ElementSegments, Elements int
	// DataSegments defaults to 100,000, which is Go's own linker's limit.
	DataSegments int
	// BodyBytes bounds the code of a function. Defaults to 256 KiB; the largest in
	// 123 modules of other people's had 80 KB.
	BodyBytes int
	// Locals bounds a function's parameters and variables, and LocalsInAll those of
	// all functions. Default to 5,000 and 1,000,000: the compiler keeps 8 bytes for
	// each, all at once, and two bytes of a module can ask for thousands.
	Locals, LocalsInAll int
	// Blocks bounds the blocks of a function. Defaults to 8,000. The compiler takes
	// about 2.3e-8 s x blocks^2: 1.5 s.
	Blocks int
	// BlocksSquared bounds the sum of blocks^2 over all functions. Defaults to 3e8:
	// 7 s in all.
	BlocksSquared int
	// LocalsTimesBlocks bounds a function's locals x blocks, each pair of which the
	// compiler may have to look at: 1.3 s and 140 MB for 2e6. Defaults to 2.5e6; the printf of
	// wasi-libc, compiled without optimisation, has 2.1e6.
	LocalsTimesBlocks int
	// Nesting bounds how deep blocks lie in each other, for which the compiler
	// recurses. Defaults to 2,000: a function of GHC's runtime has 1,001.
	Nesting int
	// BranchTargets bounds the labels of one br_table. Defaults to 4,096.
	BranchTargets int
	// BulkOperations bounds a function's, each of which becomes a loop. Defaults to
	// 500.
	BulkOperations int
	// PassedValues bounds the values that calls return, that blocks take and give,
	// and that branches carry, beyond the first each, over all functions. Defaults
	// to 200,000: the compiler was seen to take 350 bytes for each, and a call of
	// two bytes can return a thousand. Most modules have none.
	PassedValues int
	// NameBytes bounds the names of functions. Names beyond are no error: all are
	// dropped. Defaults to 4 MiB.
	NameBytes int
}

// DefaultTableEntries is the default of Limits.TableEntries, and what tables should
// not be let grow beyond: they live outside of the memory limit.
const DefaultTableEntries = 100_000

func (l Limits) withDefaults() Limits {
	return Limits{
		Types:             cmp.Or(l.Types, 10_000),
		TypeValues:        cmp.Or(l.TypeValues, 100_000),
		Values:            cmp.Or(l.Values, 1_000),
		Imports:           cmp.Or(l.Imports, 10_000),
		Functions:         cmp.Or(l.Functions, 50_000),
		Tables:            cmp.Or(l.Tables, 4),
		TableEntries:      cmp.Or(l.TableEntries, DefaultTableEntries),
		Globals:           cmp.Or(l.Globals, 10_000),
		Exports:           cmp.Or(l.Exports, 50_000),
		ElementSegments:   cmp.Or(l.ElementSegments, 10_000),
		Elements:          cmp.Or(l.Elements, 400_000),
		DataSegments:      cmp.Or(l.DataSegments, 100_000),
		BodyBytes:         cmp.Or(l.BodyBytes, 256<<10),
		Locals:            cmp.Or(l.Locals, 5_000),
		LocalsInAll:       cmp.Or(l.LocalsInAll, 1_000_000),
		Blocks:            cmp.Or(l.Blocks, 8_000),
		BlocksSquared:     cmp.Or(l.BlocksSquared, 300_000_000),
		LocalsTimesBlocks: cmp.Or(l.LocalsTimesBlocks, 2_500_000),
		Nesting:           cmp.Or(l.Nesting, 2_000),
		BranchTargets:     cmp.Or(l.BranchTargets, 4_096),
		BulkOperations:    cmp.Or(l.BulkOperations, 500),
		PassedValues:      cmp.Or(l.PassedValues, 200_000),
		NameBytes:         cmp.Or(l.NameBytes, 4<<20),
	}
}

// describe returns what a limit counts, and what to do when it is reached.
func describe(limit string) (what, hint string) {
	const (
		split  = "split the function, or have the compiler inline less"
		fewer  = "leave out what is not used: link with --gc-sections, or run wasm-opt -Oz"
		values = "pass a pointer to memory instead"
	)
	switch limit {
	case "Types":
		return "types", fewer
	case "TypeValues":
		return "parameters and results in its types", values
	case "Values":
		return "parameters or results in a type", values
	case "Imports":
		return "imports", fewer
	case "Functions":
		return "functions", fewer
	case "Tables":
		return "tables", "use one table of functions"
	case "TableEntries":
		return "entries in a table", "lower the table's initial size"
	case "Globals":
		return "globals", "keep variables in memory"
	case "Exports":
		return "exports", "export only what the host calls: link without --export-all"
	case "ElementSegments":
		return "element segments", fewer
	case "Elements":
		return "entries in its element segments", fewer
	case "DataSegments":
		return "data segments", "merge them: wasm-opt --memory-packing, or the linker's --merge-data-segments"
	default:
		return describeBody(limit, split, values)
	}
}

func describeBody(limit, split, values string) (what, hint string) {
	switch limit {
	case "BodyBytes":
		return "bytes of code", split
	case "Locals":
		return "parameters and variables", split
	case "LocalsInAll":
		return "parameters and variables in all functions", "run wasm-opt, which lets variables share"
	case "Blocks":
		return "blocks", split
	case "BlocksSquared":
		return "as the sum of the squares of its functions' blocks", "split the largest functions"
	case "LocalsTimesBlocks":
		return "variables times blocks", split
	case "Nesting":
		return "blocks within each other", split
	case "BranchTargets":
		return "labels in one br_table", "split the switch"
	case "BulkOperations":
		return "bulk operations on memory or tables", split
	default:
		return "values passed beyond the first by calls, blocks and branches", values
	}
}
