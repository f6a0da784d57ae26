using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>What the descriptor numbers in a caller's structures mean. Members may be called from any thread.</summary>
public interface IUserFiles
{
    /// <summary>Gives a file of this library a number.</summary>
    /// <param name="file">The file.</param>
    /// <returns>Its number.</returns>
    /// <exception cref="VfioException">EMFILE: the caller has no number left; the file stays with whoever gave it.</exception>
    int Install(object file);

    /// <summary>As <see cref="Install"/>, but closes a file for which there is no number.</summary>
    /// <param name="file">The file.</param>
    /// <returns>Its number.</returns>
    /// <exception cref="VfioException">As <see cref="Install"/>.</exception>
    sealed int InstallOrClose(IDisposable file)
    {
        try
        {
            return Install(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

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
