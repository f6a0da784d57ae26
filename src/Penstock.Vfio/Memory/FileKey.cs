using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Identity of a file and what its descriptor allows. While a mapping or descriptor exists the numbers cannot be reused.</summary>
internal readonly record struct FileKey(ulong Device, ulong Inode, MemoryProtection Protection)
{
    internal static FileKey Of(in FileFacts facts)
    {
        // A file sealed against writing cannot be mapped for writing, whatever its descriptor says.
        bool sealedAgainstWrites = (facts.Seals & (MemorySeals.Write | MemorySeals.FutureWrite)) != 0;
        return new(facts.Device, facts.Inode, sealedAgainstWrites ? facts.Access & MemoryProtection.Read : facts.Access);
    }
}
