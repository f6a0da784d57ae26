using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Another backing, which each access reaches half a block at a time, with something between the halves.</summary>
internal sealed class HalvesBacking(INvmeBacking inner) : PassingBacking(inner)
{
    private const int Half = 256;

    /// <summary>Normally lets others run.</summary>
    public Action Between { get; set; } = () =>
    {
        Thread.SpinWait(100);
        Thread.Yield();
    };

    public override Errno Read(ulong offset, Span<byte> destination)
    {
        Errno error = Errno.None;
        for (int done = 0; done < destination.Length && error == Errno.None; done += Half)
        {
            Pause(done);
            error = base.Read(offset + (ulong)done, destination.Slice(done, Half));
        }

        return error;
    }

    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        Errno error = Errno.None;
        for (int done = 0; done < source.Length && error == Errno.None; done += Half)
        {
            Pause(done);
            error = base.Write(offset + (ulong)done, source.Slice(done, Half));
        }

        return error;
    }

    public override Errno Zero(ulong offset, ulong length, bool deallocate)
    {
        Errno error = Errno.None;
        for (ulong done = 0; done < length && error == Errno.None; done += Half)
        {
            Pause((int)done);
            error = base.Zero(offset + done, Half, deallocate);
        }

        return error;
    }

    private void Pause(int done)
    {
        if (done != 0)
        {
            Between();
        }
    }
}
