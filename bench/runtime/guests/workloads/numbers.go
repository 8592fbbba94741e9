package main

import "math"

// fib is nothing but calls: the worst case of metering.
//
//go:wasmexport fib
func fib(n int32) int64 {
	sum := int64(0)
	for range n {
		sum += fibonacci(20)
	}
	return sum
}

func fibonacci(n int64) int64 {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

// sieve counts the primes below 65,536: short loops over memory.
//
//go:wasmexport sieve
func sieve(n int32) int64 {
	sum := int64(0)
	composite := make([]bool, 1<<16)
	for range n {
		clear(composite)
		for i := 2; i < len(composite); i++ {
			if composite[i] {
				continue
			}
			sum++
			for j := i * i; j < len(composite); j += i {
				composite[j] = true
			}
		}
	}
	return sum
}

// matrix multiplies two matrices of 48 x 48 floats.
//
//go:wasmexport matrix
func matrix(n int32) int64 {
	const size = 48
	var a, b, c [size][size]float64
	for i := range size {
		for j := range size {
			a[i][j], b[i][j] = float64(i+j)/size, float64(i-j)/size
		}
	}
	for range n {
		for i := range size {
			for j := range size {
				sum := 0.0
				for k := range size {
					sum += a[i][k] * b[k][j]
				}
				c[i][j] = sum
			}
		}
		a[0][0] = c[size-1][size-1] / size
	}
	return int64(math.Float64bits(c[size/2][size/3]))
}

// mandelbrot iterates 64 x 64 points up to 100 times: floats in registers.
//
//go:wasmexport mandelbrot
func mandelbrot(n int32) int64 {
	sum := int64(0)
	for range n {
		for y := range 64 {
			for x := range 64 {
				sum += int64(escape(float64(x)/32-1.5, float64(y)/32-1))
			}
		}
	}
	return sum
}

func escape(cr, ci float64) int {
	zr, zi := 0.0, 0.0
	for i := range 100 {
		if zr*zr+zi*zi > 4 {
			return i
		}
		zr, zi = zr*zr-zi*zi+cr, 2*zr*zi+ci
	}
	return 100
}

type body struct{ x, y, z, vx, vy, vz, mass float64 }

// nbody moves five bodies 200 steps: structs of floats, and square roots.
//
//go:wasmexport nbody
func nbody(n int32) int64 {
	bodies := [5]body{
		{mass: 39.5},
		{x: 4.8, y: -1.2, z: -.1, vx: .6, vy: 2.8, vz: -.02, mass: .037},
		{x: 8.3, y: 4.1, z: -.4, vx: -1, vy: 1.8, vz: .008, mass: .011},
		{x: 12.9, y: -15.1, z: -.2, vx: 1, vy: .9, vz: -.01, mass: .0017},
		{x: 15.4, y: -25.9, z: .2, vx: .98, vy: .6, vz: -.03, mass: .002},
	}
	for range n {
		for range 200 {
			step(&bodies, .001)
		}
	}
	return int64(math.Float64bits(bodies[1].x))
}

func step(bodies *[5]body, dt float64) {
	for i := range bodies {
		a := &bodies[i]
		for j := i + 1; j < len(bodies); j++ {
			b := &bodies[j]
			dx, dy, dz := a.x-b.x, a.y-b.y, a.z-b.z
			d2 := dx*dx + dy*dy + dz*dz + .01
			pull := dt / (d2 * math.Sqrt(d2))
			a.vx, a.vy, a.vz = a.vx-dx*b.mass*pull, a.vy-dy*b.mass*pull, a.vz-dz*b.mass*pull
			b.vx, b.vy, b.vz = b.vx+dx*a.mass*pull, b.vy+dy*a.mass*pull, b.vz+dz*a.mass*pull
		}
	}
	for i := range bodies {
		b := &bodies[i]
		b.x, b.y, b.z = b.x+dt*b.vx, b.y+dt*b.vy, b.z+dt*b.vz
	}
}
