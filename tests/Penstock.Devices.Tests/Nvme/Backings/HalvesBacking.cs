using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Another backing, which each access reaches half a block at a time, with something between the halves.</summary>
internal sealed class HalvesBacking(INvmeBacking inner) : INvmeBacking
{
    private const int Half = 256;

    /// <summary>Normally lets others run.</summary>
    public Action Between { get; set; } = () =>
    {
        Thread.SpinWait(100);
        Thread.Yield();
    };

    public ulong Length => inner.Length;

    public bool IsReadOnly => inner.IsReadOnly;

    public bool MayBlock => inner.MayBlock;

    public bool CanDeallocate => inner.CanDeallocate;

    public long FlushCount => inner.FlushCount;

    public string Description => inner.Description;

    public Errno Read(ulong offset, Span<byte> destination)
    {
        Errno error = Errno.None;
        for (int done = 0; done < destination.Length && error == Errno.None; done += Half)
        {
            Pause(done);
            error = inner.Read(offset + (ulong)done, destination.Slice(done, Half));
        }

        return error;
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        Errno error = Errno.None;
        for (int done = 0; done < source.Length && error == Errno.None; done += Half)
        {
            Pause(done);
            error = inner.Write(offset + (ulong)done, source.Slice(done, Half));
        }

        return error;
    }

    public Errno Zero(ulong offset, ulong length, bool deallocate)
    {
        Errno error = Errno.None;
        for (ulong done = 0; done < length && error == Errno.None; done += Half)
        {
            Pause((int)done);
            error = inner.Zero(offset + done, Half, deallocate);
        }

        return error;
    }

    public Errno Flush() => inner.Flush();

    public void Dispose() => inner.Dispose();

    private void Pause(int done)
    {
        if (done != 0)
        {
            Between();
        }
    }
}
