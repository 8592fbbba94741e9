// Package image gives every call a memory that nobody has used, in about a
// microsecond: a snapshot of a module's memory is kept once, sealed, and each
// sandbox sees it through pages of its own that are copied when it writes them.
// After a call, the pages that it wrote are put back.
//
//	img, err := image.New(snapshot, image.Probe())
//	mem, err := image.Reserve(img, 16<<20, 1<<20)
//	ctx = experimental.WithMemoryAllocator(ctx, mem.Guest())
//	guest, err := rt.InstantiateModule(ctx, compiled, config)
//	... // a call
//	err = mem.Shrink(guest.ExportedMemory(image.MemoryExport))
//	pages, err := mem.Reset(kernelBytes)
//
// A [Memory] is one range of addresses:
//
//	| guest: the image, copy on write | zero pages up to its most | kernel: zero pages |
//
// It belongs to one owner at a time, who alone closes it, and only when nothing
// runs in it: unmapping memory under a running guest ends the process. So the
// LinearMemory's Free does nothing. A Memory whose Shrink or Reset gave an error
// holds what another call may have left behind: close it.
//
// How pages are kept and put back is the [Mechanism], which [Probe] chooses by
// trying. All of them give the same contents.
//
// [NewPlan] makes a module fit for this: it takes the data segments and the start
// function out, and exports what a snapshot has to hold.
package image
