using Penstock.S390;

namespace Penstock.Hypervisor;

/// <summary>What a guest has registered for the DMA of a function (MPCIFC, register I/O address translation).</summary>
/// <param name="Iota">Where its tables begin.</param>
/// <param name="Aperture">The addresses that the function may use.</param>
public readonly record struct IoatRegistration(Iota Iota, DmaAperture Aperture);
