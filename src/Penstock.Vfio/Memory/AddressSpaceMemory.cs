using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Addresses of a caller that nobody has looked up: every access goes through the caller's address space and finds there what is there at
/// that moment.
/// </summary>
internal sealed class AddressSpaceMemory(IUserAddressSpace space, ulong address, ulong length, bool isReserved = false) : UserMemory(length)
{
    public override bool IsReserved => isReserved;

    public override Errno Read(ulong offset, Span<byte> destination) =>
        Fits(offset, destination.Length) ? space.Read(address + offset, destination) : Errno.EFAULT;

    public override Errno Write(ulong offset, ReadOnlySpan<byte> source) =>
        Fits(offset, source.Length) ? space.Write(address + offset, source) : Errno.EFAULT;

    protected override void Free()
    {
        // Nothing was taken.
    }

    private bool Fits(ulong offset, int count) => offset <= Length && (ulong)count <= Length - offset;
}
