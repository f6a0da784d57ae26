using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>A function's interrupts as its FIB registered them, with addresses of this process.</summary>
internal sealed class InterruptRegistration
{
    public InterruptRegistration(ZpciFirmware firmware, in ZpciFib fib)
    {
        var word = new ZpciInterruptWord(fib.InterruptWord);
        Count = word.Interrupts;
        Subclass = word.Subclass;
        Vector = firmware.Storage.Resolve(fib.VectorAddress);
        VectorOffset = (uint)word.VectorOffset;
        HasSummary = word.HasSummary;
        Summary = firmware.Storage.Resolve(fib.SummaryAddress);
        SummaryOffset = (uint)word.SummaryOffset;
        Entry = fib.Designation == 0 ? -1 : firmware.EntryOf(fib.SummaryAddress, word.SummaryOffset);
    }

    /// <summary>Closed when the registration ends: then nothing is written any more.</summary>
    public DeliveryGate Gate { get; } = new();

    public int Count { get; }

    public int Subclass { get; }

    public nint Vector { get; }

    public uint VectorOffset { get; }

    public bool HasSummary { get; }

    public nint Summary { get; }

    public uint SummaryOffset { get; }

    /// <summary>Entry of the guest adapter interruption table; -1 for interrupts of the host itself.</summary>
    public int Entry { get; }
}
