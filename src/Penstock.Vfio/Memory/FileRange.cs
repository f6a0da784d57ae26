using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>The check that a user's file is what he says.</summary>
internal static class FileRange
{
    internal static void Check(in FileFacts facts, string what, ulong offset, ulong length)
    {
        if (!facts.IsRegular)
        {
            throw new VfioException(Errno.EINVAL, what, "the descriptor is not a memory file");
        }

        if (length == 0 || offset > facts.Size || length > facts.Size - offset)
        {
            throw new VfioException(Errno.EINVAL, what, $"[0x{offset:x}, +0x{length:x}) is not inside the file of 0x{facts.Size:x} bytes");
        }

        if ((facts.Access & MemoryProtection.Read) == 0)
        {
            throw new VfioException(Errno.EACCES, what, "the descriptor cannot be read");
        }
    }
}
