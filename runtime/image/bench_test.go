package image_test

import (
	"fmt"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/image"
)

// BenchmarkReset puts a sandbox of 4 MiB back after a call that has written so
// many pages, scattered. The writes count, too.
func BenchmarkReset(b *testing.B) {
	for _, mechanism := range image.Mechanisms() {
		for _, dirty := range []int{0, 1, 10, 37, 100, 500} {
			b.Run(fmt.Sprintf("%s/%d", mechanism, dirty), func(b *testing.B) {
				mem := reserve(b, newImage(b, content(4*mib), mechanism), 16*mib, unit)
				memory := allocate(mem.Guest()).Reallocate(0)
				b.ReportAllocs()
				for b.Loop() {
					for i := range dirty {
						memory[i*2*4096+128]++
					}
					reset(b, mem, 0)
				}
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(each/1000, "us/reset")
				if dirty > 0 {
					b.ReportMetric(each/float64(dirty), "ns/page")
				}
			})
		}
	}
}

// BenchmarkScan looks at sandboxes of which all pages were read, and one was
// written.
func BenchmarkScan(b *testing.B) {
	for _, mechanism := range []image.Mechanism{image.Watch, image.Scan, image.Pagemap} {
		for _, size := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/%dMiB", mechanism, size), func(b *testing.B) {
				mem := reserve(b, newImage(b, content(size*mib), mechanism), size*mib, unit)
				memory := allocate(mem.Guest()).Reallocate(0)
				read := byte(0)
				for at := 0; at < len(memory); at += 4096 {
					read += memory[at]
				}
				for b.Loop() {
					memory[0] += read | 1
					reset(b, mem, 0)
				}
			})
		}
	}
}

// BenchmarkKernel zeroes what a call used of the kernel's part.
func BenchmarkKernel(b *testing.B) {
	for _, used := range []int{1 * kib, 64 * kib, 256 * kib, mib} {
		b.Run(fmt.Sprintf("%dKiB", used/kib), func(b *testing.B) {
			mem := reserve(b, newImage(b, nil, image.Best), 0, 2*mib)
			kernel := allocate(mem.Kernel()).Reallocate(0)
			for b.Loop() {
				for at := 0; at < used; at += 4096 {
					kernel[at] = 1
				}
				reset(b, mem, used)
			}
		})
	}
}

// BenchmarkReserve is what a sandbox's range costs, without an instance.
func BenchmarkReserve(b *testing.B) {
	for _, mechanism := range image.Mechanisms() {
		b.Run(mechanism.String(), func(b *testing.B) {
			img := newImage(b, content(4*mib), mechanism)
			for b.Loop() {
				mem, err := image.Reserve(img, 16*mib, mib)
				if err != nil {
					b.Fatal(err)
				}
				if err := mem.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
