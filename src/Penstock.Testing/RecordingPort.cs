using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// The smallest slot for a function: a real strand, a record of the interrupt outputs, and DMA where the test gives it. For tests that
/// look at every change of the pin; with a <see cref="FunctionTestBench"/> one sees what a user sees. Outputs may be driven from any thread.
/// </summary>
public sealed class RecordingPort : PciFunctionPort, IDisposable
{
    private readonly DmaPort? _dma;
    private readonly Lock _gate = new();
    private readonly List<bool> _levels = [];
    private readonly List<int> _vectors = [];

    /// <summary>Creates the slot.</summary>
    /// <param name="dma">The function's way to memory; null for a function without.</param>
    /// <param name="strand">Its line of execution, which the slot disposes; null for a new one.</param>
    public RecordingPort(DmaPort? dma = null, Strand? strand = null)
    {
        _dma = dma;
        Strand = strand ?? new Strand("test function");
    }

    /// <inheritdoc/>
    public override Strand Strand { get; }

    /// <inheritdoc/>
    public override DmaPort Dma => _dma ?? throw new InvalidOperationException("this slot was made without DMA; give its constructor a port");

    /// <inheritdoc/>
    public override bool UsesVectors => VectorsEnabled;

    /// <inheritdoc/>
    public override bool UsesPin => PinEnabled;

    /// <summary>Whether the function is told that messages are enabled.</summary>
    public bool VectorsEnabled { get; set; }

    /// <summary>Whether the function is told that the pin is bound.</summary>
    public bool PinEnabled { get; set; }

    /// <summary>Level of the pin.</summary>
    public bool Pin { get; private set; }

    /// <summary>Every call for the pin, in order.</summary>
    public IReadOnlyList<bool> Levels
    {
        get
        {
            lock (_gate)
            {
                return [.. _levels];
            }
        }
    }

    /// <summary>Every message, in order.</summary>
    public IReadOnlyList<int> Vectors
    {
        get
        {
            lock (_gate)
            {
                return [.. _vectors];
            }
        }
    }

    /// <summary>Calls for the pin by a thread that was not on the strand.</summary>
    public int OffStrand { get; private set; }

    /// <inheritdoc/>
    public override void SetIntx(bool asserted)
    {
        lock (_gate)
        {
            OffStrand += Strand.IsCurrent ? 0 : 1;
            Pin = asserted;
            _levels.Add(asserted);
        }
    }

    /// <inheritdoc/>
    public override void SignalVector(int vector)
    {
        lock (_gate)
        {
            _vectors.Add(vector);
        }
    }

    /// <summary>Ends the strand.</summary>
    public void Dispose() => Strand.Dispose();
}
