using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Another backing, to which everything is passed on; derived ones do something else in between.</summary>
internal abstract class PassingBacking(INvmeBacking inner) : INvmeBacking
{
    public ulong Length => inner.Length;

    public bool IsReadOnly => inner.IsReadOnly;

    public virtual bool MayBlock => inner.MayBlock;

    public bool CanDeallocate => inner.CanDeallocate;

    public long FlushCount => inner.FlushCount;

    public string Description => inner.Description;

    public virtual Errno Read(ulong offset, Span<byte> destination) => inner.Read(offset, destination);

    public virtual Errno Write(ulong offset, ReadOnlySpan<byte> source) => inner.Write(offset, source);

    public virtual Errno Zero(ulong offset, ulong length, bool deallocate) => inner.Zero(offset, length, deallocate);

    public virtual Errno Flush() => inner.Flush();

    public Errno Activate() => inner.Activate();

    public void Deactivate() => inner.Deactivate();

    public void Dispose() => inner.Dispose();
}
