namespace Penstock.S390;

/// <summary>
/// The first eight bytes of a guest interruption state area, which firmware, host and processors change by compare-and-swap only: where it is in
/// the alert list, what is pending, how often that may come, and what alerts.
/// </summary>
/// <param name="Value">The bytes as a number, the first one on top.</param>
public readonly record struct GisaWord(ulong Value)
{
    private const int NextShift = 32;
    private const int PendingShift = 24;
    private const int SingleShift = 16;
    private const int NoneShift = 8;

    /// <summary>Next area of the alert list; its own address when it is on no list.</summary>
    public uint NextAlert
    {
        get => (uint)(Value >> NextShift);
        init => Value = (Value & uint.MaxValue) | ((ulong)value << NextShift);
    }

    /// <summary>Pending interruption subclasses (IPM).</summary>
    public byte Pending
    {
        get => (byte)(Value >> PendingShift);
        init => Value = With(PendingShift, value);
    }

    /// <summary>Format 1: how often each subclass comes through (SIMM and NIMM).</summary>
    public InterruptionModes Modes
    {
        get => new((byte)(Value >> SingleShift), (byte)(Value >> NoneShift));
        init => Value = new GisaWord(With(SingleShift, value.Single)).With(NoneShift, value.None);
    }

    /// <summary>Subclasses that alert the host when they become pending while the guest does not run (IAM).</summary>
    public byte Alerting
    {
        get => (byte)Value;
        init => Value = With(0, value);
    }

    private ulong With(int shift, byte value) => (Value & ~(0xfful << shift)) | ((ulong)value << shift);
}
