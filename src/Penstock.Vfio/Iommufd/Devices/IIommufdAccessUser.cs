namespace Penstock.Vfio;

/// <summary>A driver that pins memory through an <see cref="IommufdAccess"/>.</summary>
public interface IIommufdAccessUser
{
    /// <summary>
    /// A mapping goes away: every pin inside must be dropped before this returns. (0, 2^64-1) when the access leaves its address space.
    /// Called without locks held, on the thread that unmaps; new pins in the range are refused meanwhile.
    /// </summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Length in bytes.</param>
    void Unmap(ulong iova, ulong length);
}
