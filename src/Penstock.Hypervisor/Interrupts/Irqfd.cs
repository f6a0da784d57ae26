using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>An eventfd whose signals are interrupts of a machine. Joined with their producer they arrive without the eventfd.</summary>
internal sealed class Irqfd(IrqfdTable table, ulong key, uint gsi, Resampler? resampler) : IrqBypassConsumer(key)
{
    public uint Gsi { get; } = gsi;

    public Resampler? Resampler { get; } = resampler;

    /// <summary>Signalled at the guest's end of interrupt; owned by the irqfd.</summary>
    public CountedEvent? Resample { get; init; }

    public EventWatch? Watch { get; set; }

    public IDisposable? Closing { get; set; }

    public void Signalled(ulong signals)
    {
        table.CountEvents(signals);
        Inject();
    }

    protected override void AddProducer(IrqBypassProducer producer)
    {
        if (table.RefusesBypass)
        {
            throw new VfioException(Errno.EIO, $"joining the interrupts of gsi {Gsi} with their source", "the machine cannot take them directly");
        }
    }

    protected override void RemoveProducer(IrqBypassProducer producer)
    {
    }

    protected override void Deliver()
    {
        table.CountBypass();
        Inject();
    }

    private void Inject()
    {
        if (Resampler is { } level)
        {
            level.Raise();
        }
        else
        {
            table.Interrupts.RaiseGsi(Gsi);
        }
    }
}
