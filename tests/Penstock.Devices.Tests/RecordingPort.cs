using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A slot that records the interrupt pin, with a real strand, and DMA where a test gives it.</summary>
internal sealed class RecordingPort(DmaPort? dma = null, Strand? strand = null) : PciFunctionPort, IDisposable
{
    private readonly List<bool> _levels = [];

    public override Strand Strand { get; } = strand ?? new Strand("test function");

    public override DmaPort Dma => dma ?? throw new InvalidOperationException("this function does no DMA");

    public override bool UsesVectors => false;

    public bool Pin { get; private set; }

    /// <summary>Every change of the pin, in order.</summary>
    public IReadOnlyList<bool> Levels => _levels;

    /// <summary>Pin changes made by a thread that was not on the strand.</summary>
    public int OffStrand { get; private set; }

    public override void SetIntx(bool asserted)
    {
        OffStrand += Strand.IsCurrent ? 0 : 1;
        Pin = asserted;
        _levels.Add(asserted);
    }

    public override void SignalVector(int vector) => throw new InvalidOperationException("this function has no vectors");

    public void Dispose() => Strand.Dispose();
}
