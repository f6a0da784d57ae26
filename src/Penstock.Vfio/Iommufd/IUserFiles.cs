using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>What the descriptor numbers in a caller's structures mean. Members may be called from any thread.</summary>
public interface IUserFiles
{
    /// <summary>Gives a file of this library a number.</summary>
    /// <param name="file">The file.</param>
    /// <returns>Its number.</returns>
    int Install(object file);

    /// <summary>Finds what was installed.</summary>
    /// <param name="descriptor">The number.</param>
    /// <returns>The file; null when the number is not one of this library's.</returns>
    object? Find(int descriptor);

    /// <summary>Makes a second descriptor of one of the caller's memory files.</summary>
    /// <param name="descriptor">The number.</param>
    /// <returns>A descriptor of this process.</returns>
    /// <exception cref="VfioException">EBADF: not open.</exception>
    OwnedDescriptor Duplicate(int descriptor);
}
